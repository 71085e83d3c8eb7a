#include "core/kernel/memory.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/support/dump_builder.h"

namespace kdk {
namespace {

using test::DumpBuilder;

constexpr uint64_t page = 4096;

std::vector<uint8_t> pattern(size_t size) {
  std::vector<uint8_t> bytes(size);
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<uint8_t>(i * 7 + i / 256);
  return bytes;
}

TEST(KernelMemory, ReadsAcrossPagesThatAreNotNeighbours) {
  DumpBuilder machine;
  const VirtAddr va = machine.vmalloc(3);
  const std::vector<uint8_t> written = pattern(3 * page);
  machine.put(va, written);
  for (const std::vector<uint8_t>& file : {machine.elf(), machine.kdump()}) {
    const std::unique_ptr<Dump> dump = open_dump(memory_source(file, "test"));
    KernelMemory memory(*dump);
    std::vector<uint8_t> read(3 * page);
    const ReadResult result = memory.read(va, read);
    EXPECT_TRUE(result);
    EXPECT_EQ(result.bytes, 3 * page);
    EXPECT_EQ(read, written);
    EXPECT_EQ(memory.u64(va + (page - 4)), *load<ul64>(written, page - 4)) << "across a page end";
    EXPECT_EQ(memory.u8(va + 5), written[5]);
    EXPECT_EQ(memory.u16(va + 5), *load<ul16>(written, 5));
    EXPECT_EQ(memory.u32(va + 5), *load<ul32>(written, 5));
  }
}

TEST(KernelMemory, SaysWhyAndWhereAReadStopped) {
  DumpBuilder machine;
  const VirtAddr hole = machine.vmalloc(2);
  machine.unmap(hole + page);
  const VirtAddr filtered = machine.vmalloc(2);
  machine.exclude(machine.pfn_of(machine.phys(filtered + page)));
  const VirtAddr outside = machine.module_area() + (uint64_t{64} << 20);
  machine.map(outside, {0x9000'0000}, page);
  const std::unique_ptr<Dump> dump = machine.open();
  KernelMemory memory(*dump);
  std::vector<uint8_t> out(2 * page);
  const auto expect = [&](VirtAddr va, ReadStatus status, uint64_t bytes) {
    const ReadResult result = memory.read(va, out);
    EXPECT_FALSE(result);
    EXPECT_EQ(to_string(result.status), to_string(status));
    EXPECT_EQ(result.bytes, bytes);
    EXPECT_EQ(result.address, va.value + bytes);
  };
  expect(hole, ReadStatus::unmapped, page);
  expect(hole + 24, ReadStatus::unmapped, page - 24);
  expect(filtered, ReadStatus::excluded, page);
  expect(outside, ReadStatus::missing, 0);
  expect({0x1000}, ReadStatus::not_kernel, 0);
  expect({~uint64_t{0} - 7}, ReadStatus::unmapped, 0);

  const uint64_t last = machine.ram().back().end.value * page;
  const ReadResult physical = memory.read(PhysAddr{last - 16}, out);
  EXPECT_EQ(physical.status, ReadStatus::missing);
  EXPECT_EQ(physical.bytes, 16u);
  EXPECT_EQ(physical.address, last);
}

// Tables of megabytes go past the cache; a reader sees no difference.
TEST(KernelMemory, LongReadsAreAsGoodAsShortOnes) {
  DumpBuilder machine;
  constexpr uint64_t pages = 40;
  const VirtAddr va = machine.linear(machine.alloc_pages(pages));
  const std::vector<uint8_t> written = pattern(pages * page);
  machine.put(va, written);
  const VirtAddr filtered = machine.linear(machine.alloc_pages(pages));
  machine.put(filtered, written);
  machine.exclude(machine.pfn_of(machine.phys(filtered + (pages - 2) * page)));
  for (const std::vector<uint8_t>& file : {machine.elf(), machine.kdump()}) {
    const std::unique_ptr<Dump> dump = open_dump(memory_source(file, "test"));
    KernelMemory memory(*dump);
    for (uint64_t begin : {uint64_t{0}, uint64_t{24}, page - 1}) {
      for (uint64_t end : {pages * page, pages * page - 24, (pages - 1) * page + 1}) {
        std::vector<uint8_t> read(end - begin);
        EXPECT_TRUE(memory.read(va + begin, read)) << begin << " to " << end;
        EXPECT_EQ(read, std::vector<uint8_t>(written.begin() + static_cast<ptrdiff_t>(begin),
                                             written.begin() + static_cast<ptrdiff_t>(end)));
      }
    }
    EXPECT_EQ(memory.u8(va + 5), written[5]);
  }
  const std::unique_ptr<Dump> dump = machine.open();
  KernelMemory memory(*dump);
  std::vector<uint8_t> out(pages * page);
  const ReadResult result = memory.read(filtered, out);
  EXPECT_EQ(to_string(result.status), to_string(ReadStatus::excluded));
  EXPECT_EQ(result.bytes, (pages - 2) * page);
  EXPECT_EQ(result.address, filtered.value + (pages - 2) * page);
}

TEST(KernelMemory, TellsATruncatedFileFromAnExcludedPage) {
  DumpBuilder machine;
  std::vector<uint8_t> file = machine.elf();
  file.resize(file.size() - 2 * page);
  const std::unique_ptr<Dump> dump = open_dump(memory_source(file, "cut"));
  KernelMemory memory(*dump);
  const PhysAddr last{machine.ram().back().end.value * page - 8};
  std::vector<uint8_t> out(8);
  EXPECT_EQ(memory.read(last, out).status, ReadStatus::unreadable);
}

TEST(KernelMemory, RequireNamesWhatAndWhere) {
  DumpBuilder machine;
  const VirtAddr va = machine.vmalloc(1);
  machine.exclude(machine.pfn_of(machine.phys(va)));
  const std::unique_ptr<Dump> dump = machine.open();
  KernelMemory memory(*dump);
  std::vector<uint8_t> out(8);
  try {
    memory.require(va, out, "task_struct of init");
    FAIL() << "no error";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Errc::fault);
    EXPECT_EQ(e.address(), va.value);
    EXPECT_EQ(e.message().find("task_struct of init: address 0x"), 0u) << e.message();
    EXPECT_NE(e.message().find("excluded"), std::string::npos) << e.message();
  }
}

TEST(KernelMemory, ReadsStringsUpToTheirEndOnly) {
  DumpBuilder machine;
  const VirtAddr va = machine.vmalloc(2);
  machine.put_text(va + (page - 6), "across pages");
  machine.put_text(va + (2 * page - 4), "end");  // its terminator is the last mapped byte
  machine.put_text(va + 16, std::string(600, 'x'));
  const std::unique_ptr<Dump> dump = machine.open();
  KernelMemory memory(*dump);
  EXPECT_EQ(memory.string(va + (page - 6)), "across pages");
  EXPECT_EQ(memory.string(va + (2 * page - 4)), "end");
  EXPECT_EQ(memory.string(va + 16)->size(), 256u);
  EXPECT_EQ(memory.string(va + 16, 1000)->size(), 600u);
  EXPECT_EQ(memory.string(va, 0), "");
  EXPECT_EQ(memory.string(va), "");
  EXPECT_EQ(memory.string(va + 2 * page), std::nullopt);
}

TEST(KernelMemory, SaysWhatItNeeds) {
  const auto code = [](const DumpBuilder& machine) -> std::optional<Errc> {
    const std::unique_ptr<Dump> dump = machine.open();
    try {
      KernelMemory memory(*dump);
    } catch (const Error& e) {
      return e.code();
    }
    return std::nullopt;
  };
  DumpBuilder machine;
  EXPECT_EQ(code(machine), std::nullopt);
  machine.erase("NUMBER(kimage_voffset)");
  EXPECT_EQ(code(machine), Errc::missing);

  DumpBuilder foreign;
  std::vector<uint8_t> file = foreign.elf();
  store(MutableBytes(file), 18, ul16(243));  // e_machine: RISC-V
  const std::unique_ptr<Dump> dump = open_dump(memory_source(file, "foreign"));
  EXPECT_THROW(KernelMemory{*dump}, Error);
}

struct ListTest : testing::Test {
  DumpBuilder machine;
  VirtAddr head = machine.alloc(16);
  std::vector<VirtAddr> nodes;
  void SetUp() override {
    for (int i = 0; i < 5; ++i) nodes.push_back(machine.alloc(64));
    machine.put_list(head, nodes);
  }
  std::pair<WalkEnd, std::vector<VirtAddr>> walk(size_t limit = 100, size_t stop_after = 1000) {
    const std::unique_ptr<Dump> dump = machine.open();
    KernelMemory memory(*dump);
    std::vector<VirtAddr> seen;
    const WalkEnd end = walk_list(memory, head, limit, [&](VirtAddr node) {
      seen.push_back(node);
      return seen.size() < stop_after;
    });
    return {end, seen};
  }
};

TEST_F(ListTest, VisitsEveryNodeInOrder) {
  const auto [end, seen] = walk();
  EXPECT_EQ(end, WalkEnd::complete);
  EXPECT_EQ(seen, nodes);
  EXPECT_EQ(walk(5).first, WalkEnd::complete) << "exactly at the limit";
}
TEST_F(ListTest, EmptyListIsComplete) {
  machine.put_list(head, {});
  const auto [end, seen] = walk();
  EXPECT_EQ(end, WalkEnd::complete);
  EXPECT_TRUE(seen.empty());
}
TEST_F(ListTest, StopsWhenTold) {
  const auto [end, seen] = walk(100, 2);
  EXPECT_EQ(end, WalkEnd::stopped);
  EXPECT_EQ(seen.size(), 2u);
}
TEST_F(ListTest, StopsAtTheLimit) {
  const auto [end, seen] = walk(4);
  EXPECT_EQ(end, WalkEnd::limit);
  EXPECT_EQ(seen.size(), 4u);
}
TEST_F(ListTest, NoticesACycleThatMissesTheHead) {
  machine.put_u64(nodes[4], nodes[2].value);
  const auto [end, seen] = walk();
  EXPECT_EQ(end, WalkEnd::cycle);
  EXPECT_EQ(seen, nodes) << "each node once";
}
TEST_F(ListTest, EndsAtPoison) {
  machine.put_u64(nodes[2], 0xdead000000000100);
  const auto [end, seen] = walk();
  EXPECT_EQ(end, WalkEnd::unreadable);
  EXPECT_EQ(seen.size(), 4u) << "the poisoned address itself is the last that was seen";
}

}  // namespace
}  // namespace kdk
