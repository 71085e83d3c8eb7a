// Truncated at every byte, every header byte changed: an Error that names the file, or a dump that can be
// read. Run with the asan preset this also shows that nothing is read outside the input.
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "tests/unit/formats/raw_dump.h"

namespace kdk::test {
namespace {

// Small, yet with everything in it.
std::vector<uint8_t> small_elf() {
  RawSegment filtered = pattern_segment(0x102, 1);
  filtered.memory_size = 3 * raw_page;
  return build(RawElf{.segments = {pattern_segment(0x100, 1), filtered}});
}
RawKdump small_kdump() {
  RawKdump k;
  k.end_pfn = 16;
  k.ram = {{{2}, {12}}};
  k.dumped = {{2, Codec::zlib}, {3, Codec::lzo}, {5, Codec::snappy}, {6, Codec::zstd}};
  return k;
}

// True when it opens; every page of RAM and some beyond is touched then.
bool survives(std::vector<uint8_t> bytes) {
  std::unique_ptr<Dump> dump;
  try {
    dump = open_bytes(std::move(bytes));
  } catch (const Error& e) {
    EXPECT_FALSE(e.message().empty());
    EXPECT_NE(e.code(), Errc::missing);
    return false;
  }
  std::unique_ptr<PageReader> reader = dump->reader();
  uint64_t budget = 64;
  auto look = [&](Pfn pfn) {
    PageView page = reader->page(pfn);
    if (page.state == PageState::present) {
      EXPECT_EQ(page.bytes.size(), dump->info().page_size);
      volatile uint8_t sum = 0;
      for (uint8_t b : page.bytes) sum = static_cast<uint8_t>(sum + b);
      EXPECT_EQ(dump->state(pfn), PageState::present);
    } else {
      EXPECT_TRUE(page.bytes.empty());
    }
  };
  for (const PfnRange& range : dump->ram()) {
    EXPECT_LT(range.begin, range.end);
    for (Pfn pfn = range.begin; pfn < range.end && budget > 0; pfn = pfn + 1, --budget) look(pfn);
  }
  for (uint64_t pfn : {uint64_t{0}, uint64_t{0x10000}, ~uint64_t{0}}) look(Pfn{pfn});
  return true;
}

void truncate_everywhere(const std::vector<uint8_t>& whole) {
  // Byte by byte through headers and edges; the middle of large zero areas in steps.
  for (size_t size = 0; size < whole.size(); size += size < 700 || size + 700 > whole.size() ? 1 : 37) {
    std::vector<uint8_t> cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
    if (survives(cut)) {
      EXPECT_TRUE(open_bytes(cut)->info().incomplete) << "cut at " << size << " passes for whole";
    }
  }
}

void change_every_byte(const std::vector<uint8_t>& whole, size_t begin, size_t end) {
  for (size_t at = begin; at < end; ++at) {
    for (int change : {0x00, 0x01, 0x7f, 0x80, 0xff, 0x100}) {
      std::vector<uint8_t> damaged = whole;
      damaged[at] = change == 0x100 ? static_cast<uint8_t>(whole[at] ^ 0xff) : static_cast<uint8_t>(change);
      SCOPED_TRACE(testing::Message() << "byte " << at << " is " << int{damaged[at]});
      survives(std::move(damaged));
    }
  }
}

TEST(Hostile, ElfTruncatedEverywhere) {
  truncate_everywhere(small_elf());
}
TEST(Hostile, KdumpTruncatedEverywhere) {
  truncate_everywhere(build(small_kdump()));
}
TEST(Hostile, FlattenedTruncatedEverywhere) {
  truncate_everywhere(flatten(small_elf(), 2000));
}

TEST(Hostile, ElfHeadersChanged) {
  change_every_byte(small_elf(), 0, 64 + 3 * 56 + 40);
}
TEST(Hostile, KdumpHeaderChanged) {
  std::vector<uint8_t> bytes = build(small_kdump());
  change_every_byte(bytes, 0, 16);
  change_every_byte(bytes, 400, 464);
  change_every_byte(bytes, 4096, 4096 + 104 + 40);
}
TEST(Hostile, KdumpSplitHeaderChanged) {
  RawKdump k = small_kdump();
  k.split = PfnRange{{3}, {6}};
  change_every_byte(build(k), 4096, 4096 + 104);
}
TEST(Hostile, KdumpBitmapsAndDescriptorsChanged) {
  std::vector<uint8_t> bytes = build(small_kdump());
  change_every_byte(bytes, 2 * 4096, 2 * 4096 + 4);
  change_every_byte(bytes, 3 * 4096, 3 * 4096 + 4);
  change_every_byte(bytes, descriptor_table(small_kdump()), descriptor_table(small_kdump()) + 4 * 24);
}
TEST(Hostile, FlattenedHeadersChanged) {
  std::vector<uint8_t> bytes = flatten(small_elf(), 6000);
  change_every_byte(bytes, 0, 40);
  change_every_byte(bytes, 4096, 4096 + 16);
}

}  // namespace
}  // namespace kdk::test
