#include "loader/prove/boot_rom.h"

#include <gtest/gtest.h>

#include <numeric>

#include "core/base/bytes.h"
#include "core/base/error.h"

namespace kdk {
namespace {

TEST(BootRom, IsOneThatABiosTakes) {
  std::vector<uint8_t> rom = make_boot_rom(0x123456789abc, 0x1c00000);
  ASSERT_EQ(rom.size(), rom[2] * 512u);
  EXPECT_EQ(load<ul16>(rom, 0), 0xaa55);
  EXPECT_EQ(std::accumulate(rom.begin(), rom.end(), 0u) & 0xff, 0u);
  EXPECT_EQ(load<ul32>(rom, 35), 0x1c00000u);
  EXPECT_EQ(load<ul64>(rom, 95), 0x123456789abcu);
}

// The walk of a CPU with 4-level paging.
uint64_t translate(const std::vector<uint8_t>& tables, uint64_t at, uint64_t address) {
  auto entry = [&](uint64_t table, unsigned shift) {
    return *load<ul64>(tables, table - at + (address >> shift & 511) * 8);
  };
  uint64_t second = entry(at, 39);
  uint64_t third = entry(second & ~uint64_t{0xfff}, 30);
  uint64_t leaf = entry(third & ~uint64_t{0xfff}, 21);
  EXPECT_EQ(second & third & leaf & 3, 3u);
  EXPECT_EQ(leaf & 0x80, 0x80u);
  return (leaf & ~uint64_t{0x1fffff}) + (address & 0x1fffff);
}

TEST(BootRom, MapsMemoryAtItsOwnAddress) {
  constexpr Range at = {0x1c00000, 0x400000};
  constexpr uint64_t top = 0x17fe00000;
  std::vector<uint8_t> tables = make_identity_map(at, top);
  for (uint64_t address : {uint64_t{0}, uint64_t{0x1234567}, uint64_t{0xffffffff}, top - 1})
    EXPECT_EQ(translate(tables, at.start, address), address);
}

TEST(BootRom, RefusesMoreThanItHasRoomFor) {
  EXPECT_THROW(make_identity_map({0x1000, 0x3000}, uint64_t{2} << 30), Error);
  EXPECT_NO_THROW(make_identity_map({0x1000, 0x3000}, uint64_t{1} << 30));
}

}  // namespace
}  // namespace kdk
