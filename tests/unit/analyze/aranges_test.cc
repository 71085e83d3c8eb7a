#include "analyze/symbols/aranges.h"

#include <gtest/gtest.h>

namespace kdk {
namespace {

using Range = std::pair<uint64_t, uint64_t>;  // address, length

template <typename T>
void put(std::vector<uint8_t>& out, T value) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(&value);
  out.insert(out.end(), bytes, bytes + sizeof(value));
}

// A set as compilers write it, its last tuple empty.
std::vector<uint8_t> set_of(uint64_t unit, std::vector<Range> ranges, bool is_64_bit = false,
                            uint16_t version = 2, uint8_t address_size = 8, uint8_t segment_size = 0) {
  std::vector<uint8_t> body;
  put(body, ul16(version));
  if (is_64_bit) {
    put(body, ul64(unit));
  } else {
    put(body, ul32(static_cast<uint32_t>(unit)));
  }
  put(body, address_size);
  put(body, segment_size);
  const size_t length_size = is_64_bit ? 12 : 4;
  while ((length_size + body.size()) % 16 != 0) put(body, uint8_t{0});
  ranges.push_back({0, 0});
  for (const auto& [address, length] : ranges) {
    put(body, ul64(address));
    put(body, ul64(length));
  }
  std::vector<uint8_t> set;
  if (is_64_bit) {
    put(set, ul32(0xffffffff));
    put(set, ul64(body.size()));
  } else {
    put(set, ul32(static_cast<uint32_t>(body.size())));
  }
  set.insert(set.end(), body.begin(), body.end());
  return set;
}

std::vector<uint8_t> join(std::vector<std::vector<uint8_t>> sets) {
  std::vector<uint8_t> section;
  for (const std::vector<uint8_t>& set : sets) section.insert(section.end(), set.begin(), set.end());
  return section;
}

TEST(Aranges, SortedByAddressWithTheirUnits) {
  const std::vector<UnitRange> ranges =
      read_aranges(join({set_of(0, {{0x3000, 0x10}, {0x1000, 0x20}}), set_of(0x500, {{0x2000, 0x30}}, true),
                         set_of(0x900, {})}));
  ASSERT_EQ(ranges.size(), 3u);
  EXPECT_EQ(ranges[0].begin, 0x1000u);
  EXPECT_EQ(ranges[0].end, 0x1020u);
  EXPECT_EQ(ranges[0].unit, 0u);
  EXPECT_EQ(ranges[1].begin, 0x2000u);
  EXPECT_EQ(ranges[1].end, 0x2030u);
  EXPECT_EQ(ranges[1].unit, 0x500u);
  EXPECT_EQ(ranges[2].begin, 0x3000u);
}

TEST(Aranges, WhatIsNotKnownIsLeftOutAlone) {
  const std::vector<UnitRange> ranges =
      read_aranges(join({set_of(1, {{0x1000, 16}}, false, 3), set_of(2, {{0x2000, 16}}, false, 2, 4),
                         set_of(3, {{0x3000, 16}}, false, 2, 8, 2), set_of(4, {{0x4000, 16}})}));
  ASSERT_EQ(ranges.size(), 1u);
  EXPECT_EQ(ranges[0].unit, 4u);
}

TEST(Aranges, RangesThatCannotBe) {
  // Empty in the middle (a section that the linker threw away), and beyond the end of the address space.
  const std::vector<UnitRange> ranges =
      read_aranges(set_of(7, {{0, 0}, {0x1000, 0}, {~uint64_t{0}, 16}, {0x5000, 16}}));
  ASSERT_EQ(ranges.size(), 1u);
  EXPECT_EQ(ranges[0].begin, 0x5000u);
}

TEST(Aranges, CutAnywhere) {
  const std::vector<uint8_t> whole =
      join({set_of(0, {{0x1000, 16}, {0x2000, 16}}), set_of(9, {{0x3000, 16}}, true)});
  size_t most = 0;
  for (size_t size = 0; size <= whole.size(); ++size) {
    const std::vector<UnitRange> ranges = read_aranges(Bytes(whole).first(size));
    EXPECT_GE(ranges.size(), most) << size;
    most = ranges.size();
    for (const UnitRange& range : ranges) EXPECT_EQ(range.unit, range.begin == 0x3000 ? 9u : 0u);
  }
  EXPECT_EQ(most, 3u);
}

TEST(Aranges, ALengthBeyondTheEnd) {
  std::vector<uint8_t> set = set_of(5, {{0x1000, 16}});
  for (size_t i = 0; i < 4; ++i) set[i] = 0x7f;
  EXPECT_EQ(read_aranges(set).size(), 1u);
  set = set_of(5, {{0x1000, 16}}, true);
  for (size_t i = 4; i < 12; ++i) set[i] = 0xff;
  EXPECT_EQ(read_aranges(set).size(), 1u);
}

}  // namespace
}  // namespace kdk
