#include "loader/plan/tree_memory.h"

#include <gtest/gtest.h>

#include "core/base/error.h"
#include "tests/support/fake_machine.h"

namespace kdk {
namespace {

using testing::FakeTree;

TEST(TreeMemory, NodesInEitherSizeOfCells) {
  for (unsigned cells : {1u, 2u}) {
    FakeTree tree;
    tree.cells = cells;
    tree.memory = {{0x40000000, 0x10000000}, {0x50000000, 0x10000000}, {0x80000000, 0x1000}};
    TreeMemory memory = read_tree_memory(tree.bytes());
    EXPECT_EQ(memory.nodes, (std::vector<Range>{{0x40000000, 0x20000000}, {0x80000000, 0x1000}}));
    EXPECT_FALSE(memory.only_chosen);
    EXPECT_TRUE(memory.uefi.empty());
  }
}

TEST(TreeMemory, OnlyNodesInUseCount) {
  FakeTree tree;
  for (const char* in_use : {"okay", "ok", ""}) {
    tree.memory_status = in_use;
    EXPECT_FALSE(read_tree_memory(tree.bytes()).nodes.empty()) << in_use;
  }
  for (const char* unused : {"disabled", "fail", "okay-not"}) {
    tree.memory_status = unused;
    EXPECT_TRUE(read_tree_memory(tree.bytes()).nodes.empty()) << unused;
  }
}

TEST(TreeMemory, LinuxUsableMemoryGoesBeforeReg) {
  FakeTree tree;
  tree.memory_reg = "linux,usable-memory";
  EXPECT_EQ(read_tree_memory(tree.bytes()).nodes, (std::vector<Range>{{0x40000000, 0x40000000}}));
  tree.memory_reg = "regular";
  EXPECT_TRUE(read_tree_memory(tree.bytes()).nodes.empty());
}

TEST(TreeMemory, TheStubsTree) {
  TreeMemory memory = read_tree_memory(FakeTree::efi_stub().bytes());
  EXPECT_TRUE(memory.nodes.empty());
  EXPECT_TRUE(memory.only_chosen);
  EXPECT_EQ(memory.uefi.size(), uefi_properties.size());
  EXPECT_EQ(memory.uefi.at(uefi_map_start), 0x7bf1e9c0u);
  EXPECT_EQ(memory.uefi.at(uefi_map_size), 0x630u);
}

TEST(TreeMemory, Hostile) {
  FakeTree tree;
  tree.memory = {{~uint64_t{0} - 0xfff, 0x2000}};
  EXPECT_THROW(read_tree_memory(tree.bytes()), Error);
  tree = FakeTree::efi_stub();
  tree.chosen_properties["linux,uefi-mmap-start"] = {1, 2, 3};
  EXPECT_THROW(read_tree_memory(tree.bytes()), Error);
  tree = FakeTree();
  tree.cells = 3;
  EXPECT_THROW(read_tree_memory(tree.bytes()), Error);
  std::vector<uint8_t> good = FakeTree().bytes();
  for (size_t size = 0; size < good.size(); ++size) {
    EXPECT_THROW(read_tree_memory(Bytes(good).first(size)), Error) << size;
  }
}

TEST(TreeMemory, WhatAKernelReads) {
  auto names = [](std::string_view image) { return uefi_properties_read_by(as_bytes(image)); };
  EXPECT_TRUE(names("").empty());
  EXPECT_TRUE(names("a kernel without; linux,uefi-; linux,uefi").empty());
  EXPECT_EQ(names("..linux,uefi-linux,uefi-mmap-size..linux,uefi-system-table"),
            (std::vector<std::string_view>{uefi_system_table, uefi_map_size}));
  EXPECT_EQ(uefi_properties_read_by(testing::FakeImage().bytes()).size(), uefi_properties.size());
}

}  // namespace
}  // namespace kdk
