#include "core/base/bytes.h"

#include <gtest/gtest.h>

namespace kdk {
namespace {

const std::vector<uint8_t> sample{0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 'h', 'i', 0, 'x'};

struct Record {  // any offset is fine: all members have alignment 1
  ul16 little;
  ub32 big;
};
static_assert(sizeof(Record) == 6 && alignof(Record) == 1);

TEST(FixedEndian, OrderIsThatOfTheTypeNotOfTheHost) {
  EXPECT_EQ(*load<ul32>(sample), 0x04030201u);
  EXPECT_EQ(*load<ub32>(sample), 0x01020304u);
  EXPECT_EQ(*load<ul64>(sample), 0x0807060504030201u);
  EXPECT_EQ(*load<ub64>(sample), 0x0102030405060708u);
  Record r = *load<Record>(sample, 1);
  EXPECT_EQ(r.little, 0x0302);
  EXPECT_EQ(r.big, 0x04050607u);
  EXPECT_EQ(byteswap(uint16_t{0x1234}), 0x3412);
  EXPECT_EQ(byteswap(uint8_t{0x12}), 0x12);
  il32 negative(-5);
  EXPECT_EQ(negative, -5);
}

TEST(Load, StopsAtTheEnd) {
  EXPECT_TRUE(load<ul64>(sample, 4));
  EXPECT_FALSE(load<ul64>(sample, 5));
  EXPECT_FALSE(load<uint8_t>(sample, 12));
  EXPECT_FALSE(load<ul32>(sample, ~uint64_t{0}));
  EXPECT_FALSE(load<ul32>(sample, ~uint64_t{0} - 2));
}

TEST(Store, WritesInPlaceAndRefusesOutside) {
  std::vector<uint8_t> out(6);
  store(out, 1, ub32(0x01020304));
  EXPECT_EQ(out, (std::vector<uint8_t>{0, 1, 2, 3, 4, 0}));
  EXPECT_THROW(store(out, 3, ul32(1)), Error);
}

TEST(Bounds, NothingOverflows) {
  EXPECT_TRUE(in_bounds(10, 10, 0));
  EXPECT_TRUE(in_bounds(10, 0, 10));
  EXPECT_FALSE(in_bounds(10, 1, 10));
  EXPECT_FALSE(in_bounds(10, 11, 0));
  EXPECT_FALSE(in_bounds(~uint64_t{0}, 2, ~uint64_t{0}));
  EXPECT_EQ(checked_add(1, 2), 3u);
  EXPECT_EQ(checked_add(~uint64_t{0}, 1), std::nullopt);
  EXPECT_EQ(checked_mul(uint64_t{1} << 32, uint64_t{1} << 31), uint64_t{1} << 63);
  EXPECT_EQ(checked_mul(uint64_t{1} << 32, uint64_t{1} << 32), std::nullopt);
  EXPECT_FALSE(subspan(sample, 11, 2));
  EXPECT_EQ(subspan(sample, 12, 0)->size(), 0u);
}

TEST(Align, RoundsToPowersOfTwo) {
  EXPECT_EQ(align_up(4097, 4096), 8192u);
  EXPECT_EQ(align_up(4096, 4096), 4096u);
  EXPECT_EQ(align_down(4095, 4096), 0u);
  EXPECT_TRUE(is_power_of_two(1));
  EXPECT_FALSE(is_power_of_two(0));
  EXPECT_FALSE(is_power_of_two(12));
}

TEST(Cursor, WalksAndNamesWhatIsShort) {
  Cursor cursor(sample, "sample record");
  EXPECT_EQ(cursor.u16le(), 0x0201);
  EXPECT_EQ(cursor.u8(), 0x03);
  cursor.skip(1);
  EXPECT_EQ(cursor.u32be(), 0x05060708u);
  EXPECT_EQ(cursor.cstring(), "hi");
  EXPECT_EQ(cursor.offset(), 11u);
  EXPECT_EQ(cursor.remaining(), 1u);
  try {
    cursor.u32le();
    FAIL() << "read beyond the end";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Errc::format);
    EXPECT_NE(e.message().find("sample record"), std::string::npos);
    EXPECT_NE(e.message().find("0xb"), std::string::npos);
  }
  EXPECT_EQ(cursor.offset(), 11u) << "a failed read must not move";
  EXPECT_THROW(cursor.cstring(), Error);  // no NUL before the end
  EXPECT_THROW(cursor.take(~uint64_t{0}), Error);
  cursor.seek(12);
  EXPECT_TRUE(cursor.at_end());
  EXPECT_THROW(cursor.seek(13), Error);
}

}  // namespace
}  // namespace kdk
