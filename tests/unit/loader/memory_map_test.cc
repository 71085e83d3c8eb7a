#include "loader/machine/memory_map.h"

#include <gtest/gtest.h>

#include "core/base/error.h"

namespace kdk {
namespace {

Errc error_of(std::string_view text) {
  try {
    parse_iomem(text).crash_regions();
  } catch (const Error& e) {
    return e.code();
  }
  ADD_FAILURE() << "no error for: " << text;
  return Errc::fault;
}

TEST(MemoryMap, NestedResourcesAboveFourGigabytes) {
  MemoryMap map = parse_iomem(
      "40000000-bfffffff : System RAM\n"
      "  40080000-40ffffff : Kernel code\n"
      "  50000000-57ffffff : Crash kernel\n"
      "800000000-87fffffff : System RAM\n"
      "  840000000-85fffffff : Crash kernel\n");
  ASSERT_EQ(map.entries.size(), 5u);
  EXPECT_EQ(map.entries[1].depth, 1u);
  EXPECT_EQ(map.system_ram(), (std::vector<Range>{{0x40000000, 0x80000000}, {0x800000000, 0x80000000}}));
  EXPECT_EQ(map.crash_regions(), (std::vector<Range>{{0x50000000, 0x8000000}, {0x840000000, 0x20000000}}));
  EXPECT_EQ(map.find("Kernel code"), (Range{0x40080000, 0xf80000}));
  EXPECT_FALSE(map.find("Kernel"));
}

TEST(MemoryMap, HotPluggedMemoryOfDriversIsSystemRam) {
  MemoryMap map = parse_iomem(
      "40000000-7fffffff : System RAM\n"
      "80000000-bfffffff : Persistent Memory\n"
      "  80000000-bfffffff : dax0.0\n"
      "    80000000-bfffffff : System RAM (kmem)\n"
      "100000000-10fffffff : System RAM (virtio_mem)\n"
      "200000000-20fffffff : System RAMdisk\n");
  EXPECT_EQ(map.system_ram(), (std::vector<Range>{{0x40000000, 0x80000000}, {0x100000000, 0x10000000}}));
}

TEST(MemoryMap, DuplicateCrashRegionsCountOnce) {
  MemoryMap map = parse_iomem(
      "40000000-7fffffff : System RAM\n"
      "  50000000-57ffffff : Crash kernel\n"
      "    50000000-57ffffff : Crash kernel\n");
  EXPECT_EQ(map.crash_regions(), (std::vector<Range>{{0x50000000, 0x8000000}}));
}

TEST(MemoryMap, HiddenAddressesAreDenied) {
  try {
    parse_iomem("00000000-00000000 : System RAM\n  00000000-00000000 : Kernel code\n");
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Errc::denied);
    EXPECT_NE(e.hint().find("root"), std::string::npos);
  }
}

TEST(MemoryMap, HostileLines) {
  EXPECT_EQ(error_of(""), Errc::format);
  EXPECT_EQ(error_of("40000000-3fffffff : System RAM\n"), Errc::format);
  EXPECT_EQ(error_of("40000000-7fffffff: System RAM\n"), Errc::format);
  EXPECT_EQ(error_of("40000000+7fffffff : System RAM\n"), Errc::format);
  EXPECT_EQ(error_of("-7fffffff : System RAM\n"), Errc::format);
  EXPECT_EQ(error_of("0-ffffffffffffffff : System RAM\n"), Errc::format);
  EXPECT_EQ(error_of("0-1ffffffffffffffff : System RAM\n"), Errc::format);
  EXPECT_EQ(error_of(" 40000000-7fffffff : System RAM\n"), Errc::format);
  EXPECT_EQ(error_of("  40000000-7fffffff : System RAM\n"), Errc::format);  // a child without a parent
  EXPECT_EQ(error_of("40000000-7fffffff : System RAM\n  70000000-8fffffff : Crash kernel\n"), Errc::format);
  EXPECT_EQ(error_of("40000000-7fffffff : System RAM\n"
                     "  50000000-57ffffff : Crash kernel\n  54000000-5fffffff : Crash kernel\n"),
            Errc::format);
}

TEST(Ranges, MergeAndSubtract) {
  EXPECT_EQ(merge_ranges({{0x30, 0x10}, {0x10, 0x10}, {0x20, 0x8}, {0x22, 0x2}, {0x50, 0}}),
            (std::vector<Range>{{0x10, 0x18}, {0x30, 0x10}}));
  EXPECT_EQ(subtract_ranges({{0x100, 0x100}}, {{0x180, 0x10}, {0x100, 0x10}, {0x1f0, 0x100}}),
            (std::vector<Range>{{0x110, 0x70}, {0x190, 0x60}}));
  EXPECT_TRUE(subtract_ranges({{0x100, 0x100}}, {{0x0, 0x1000}}).empty());
  EXPECT_TRUE(inside_any({0x110, 0x10}, {{0x100, 0x20}}));
  EXPECT_FALSE(inside_any({0x110, 0x20}, {{0x100, 0x20}}));
}

}  // namespace
}  // namespace kdk
