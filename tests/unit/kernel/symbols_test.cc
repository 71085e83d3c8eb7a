#include "core/kernel/symbols.h"

#include <gtest/gtest.h>

namespace kdk {
namespace {

constexpr uint64_t base = 0xffff800008010000;

std::string name_at(const SymbolTable& table, uint64_t address) {
  auto hit = table.lookup(address);
  if (!hit) return "";
  std::string text(hit->symbol.name);
  if (!hit->symbol.module.empty()) text += " [" + std::string(hit->symbol.module) + "]";
  return text + "+" + std::to_string(hit->offset);
}

TEST(SymbolTable, FindsTheNearestSymbolBelow) {
  SymbolTable table;
  table.add(base + 0x100, 0, 'T', "schedule");
  table.add(base, 0, 'T', "_stext");
  table.add(base + 0x40, 0x20, 't', "helper");
  table.finish();
  EXPECT_EQ(table.size(), 3u);
  EXPECT_EQ(table.at(1).name, "helper");
  EXPECT_EQ(name_at(table, base - 1), "");
  EXPECT_EQ(name_at(table, base), "_stext+0");
  EXPECT_EQ(name_at(table, base + 0x5f), "helper+31");
  EXPECT_EQ(name_at(table, base + 0x60), "");  // beyond its known size
  EXPECT_EQ(name_at(table, base + 0x104), "schedule+4");
  // Without a size of its own a symbol reaches to the next.
  EXPECT_EQ(table.lookup(base)->symbol.size, 0x40u);
  EXPECT_EQ(table.lookup(base + 0x41)->symbol.size, 0x20u);
}

TEST(SymbolTable, PrefersTextThenStrongThenFirst) {
  SymbolTable table;
  table.add(base, 0, 'D', "data_label");
  table.add(base, 0, 'W', "weak");
  table.add(base, 0x30, 't', "first");
  table.add(base, 0, 'T', "second");
  table.finish();
  EXPECT_EQ(name_at(table, base + 8), "first+8");
  EXPECT_EQ(table.lookup(base)->symbol.size, 0x30u);
}

TEST(SymbolTable, AnAliasMayKnowTheSize) {
  SymbolTable table;
  table.add(base, 0, 'T', "first");
  table.add(base, 0x10, 'T', "second");
  table.add(base + 0x40, 0, 'T', "next");
  table.finish();
  EXPECT_EQ(table.lookup(base)->symbol.size, 0x10u);
  EXPECT_EQ(name_at(table, base + 0x20), "");
}

TEST(SymbolTable, RangesBoundLookups) {
  SymbolTable table;
  table.add(base, 0, 'T', "kernel_function");
  table.add(base + 0x1000, 0, 'T', "kernel_end");
  table.add(base + 0x100000, 8, 't', "module_function", "virtio_blk");
  table.add(base + 0x100100, 0, 't', "module_last", "virtio_blk");
  table.add_range(base, base + 0x1001, {});
  table.add_range(base + 0x100000, base + 0x100200, "virtio_blk");
  table.finish();
  EXPECT_EQ(name_at(table, base + 0xfff), "kernel_function+4095");
  EXPECT_EQ(name_at(table, base + 0x1000), "kernel_end+0");
  EXPECT_EQ(name_at(table, base + 0x1001), "");
  EXPECT_EQ(name_at(table, base + 0x100004), "module_function [virtio_blk]+4");
  EXPECT_EQ(name_at(table, base + 0x1001ff), "module_last [virtio_blk]+255");
  EXPECT_EQ(table.lookup(base + 0x100100)->symbol.size, 0x100u);  // ends with its range
  EXPECT_EQ(name_at(table, base + 0x100200), "");
  EXPECT_EQ(name_at(table, UINT64_MAX), "");
  EXPECT_EQ(name_at(table, 0), "");
}

TEST(SymbolTable, OverlappingRangesOfOneModuleMerge) {
  SymbolTable table;
  table.add(base, 0, 'T', "text");
  table.add(base + 0x5000, 0, 'D', "variable");
  table.add_range(base, base + 0x1000, {});
  table.add_range(base + 0x2000, base + 0x3000, {});
  table.finish();
  EXPECT_EQ(name_at(table, base + 0x5004), "");
  table.add_range(base, base + 0x6000, {});
  table.finish();
  EXPECT_EQ(name_at(table, base + 0x5004), "variable+4");
  EXPECT_EQ(name_at(table, base + 0x2004), "text+8196");
}

TEST(SymbolTable, KeepsOneOfWhatTwoSourcesSay) {
  SymbolTable table;
  table.add(base, 0, 'T', "schedule");
  table.finish();
  const std::string_view name = table.at(0).name;
  table.add(base, 0x80, 'T', "schedule");
  table.add(base, 0x80, 'T', "schedule", "module");
  for (int i = 0; i < 100000; ++i)
    table.add(base + 0x1000 + i * 16u, 0, 'D', "variable_" + std::to_string(i));
  table.finish();
  EXPECT_EQ(table.size(), 100002u);
  EXPECT_EQ(table.find("schedule")->size, 0x80u);
  EXPECT_EQ(name, "schedule");  // views stay good while symbols are added
  EXPECT_EQ(table.find("variable_99999")->address, base + 0x1000 + 99999 * 16u);
}

TEST(SymbolTable, FindsByName) {
  SymbolTable table;
  EXPECT_FALSE(table.find("anything"));
  table.finish();
  EXPECT_FALSE(table.find("anything"));
  table.add(base + 0x30, 0, 't', "probe", "e1000");
  table.add(base + 0x20, 0, 'd', "probe");
  table.add(base + 0x10, 0, 't', "probe");
  table.add(base, 0, 't', "probe_other");
  table.finish();
  ASSERT_EQ(table.find_all("probe").size(), 3u);
  EXPECT_EQ(table.find("probe")->address, base + 0x10);
  EXPECT_EQ(table.find_all("probe")[1].type, 'd');
  EXPECT_EQ(table.find_all("probe")[2].module, "e1000");
  EXPECT_FALSE(table.find("prob"));
  EXPECT_FALSE(table.find(""));
  table.add(base + 0x40, 0, 't', "added_later");
  table.finish();
  EXPECT_TRUE(table.find("added_later"));
}

// Counts how many names were unpacked.
class ListedSymbols : public PackedSymbols {
 public:
  struct Item {
    uint64_t address;
    char type;
    std::string_view name;
  };
  explicit ListedSymbols(std::vector<Item> items) : items_(std::move(items)) {}
  size_t size() const override { return items_.size(); }
  uint64_t address(size_t index) const override { return items_[index].address; }
  char type(size_t index) const override { return items_[index].type; }
  std::string_view name(size_t index, std::array<char, max_name>& out) const override {
    ++unpacked;
    return {out.data(), items_[index].name.copy(out.data(), out.size())};
  }
  std::vector<uint32_t> find(std::string_view name) const override {
    std::vector<uint32_t> found;
    for (uint32_t i = 0; i < items_.size(); ++i) {
      if (items_[i].name == name) found.push_back(i);
    }
    return found;
  }
  mutable size_t unpacked = 0;

 private:
  std::vector<Item> items_;
};

// What is packed and what was added answer as one table, before and after it is unpacked.
TEST(SymbolTable, PackedSymbolsAreUnpackedOneByOne) {
  const auto packed = std::make_shared<ListedSymbols>(std::vector<ListedSymbols::Item>{
      {0x10, 'A', "offset"},
      {base, 'T', "_stext"},
      {base + 0x40, 'W', "weak"},
      {base + 0x40, 't', "strong"},
      {base + 0x100, 'T', "probe"},
      {base + 0x200, 'D', "_etext"},
  });
  SymbolTable table;
  table.set_packed(packed);
  EXPECT_FALSE(table.empty());
  table.add(base + 0x1000, 0x20, 't', "probe", "e1000");
  table.add(base + 0x300, 0x10, 'd', "variable");
  table.add(base + 0x40, 0x30, 't', "strong");
  table.add_range(base, base + 0x400, {});
  table.add_range(base + 0x1000, base + 0x1100, "e1000");
  table.finish();
  for (bool all : {false, true}) {
    if (all) {
      EXPECT_LE(packed->unpacked, 5u);
      EXPECT_EQ(table.size(), 8u);
      EXPECT_EQ(table.at(0).name, "offset");
      EXPECT_EQ(table.at(7).module, "e1000");
    }
    EXPECT_EQ(name_at(table, 0x11), "");
    EXPECT_EQ(name_at(table, base + 0x3f), "_stext+63");
    EXPECT_EQ(table.lookup(base)->symbol.size, 0x40u);
    EXPECT_EQ(name_at(table, base + 0x6f), "strong+47");
    EXPECT_EQ(name_at(table, base + 0x70), "");  // beyond the size that the other source knows
    EXPECT_EQ(name_at(table, base + 0x1ff), "probe+255");
    EXPECT_EQ(name_at(table, base + 0x2ff), "_etext+255");
    EXPECT_EQ(table.lookup(base + 0x200)->symbol.size, 0x100u);  // to one that was added
    EXPECT_EQ(name_at(table, base + 0x308), "variable+8");
    EXPECT_EQ(name_at(table, base + 0x1010), "probe [e1000]+16");
    ASSERT_EQ(table.find_all("probe").size(), 2u);
    EXPECT_EQ(table.find("probe")->address, base + 0x100);
    ASSERT_EQ(table.find_all("strong").size(), 1u);
    EXPECT_EQ(table.find("strong")->size, 0x30u);
    EXPECT_FALSE(table.find("none"));
  }
}

TEST(SymbolTable, ManyNamesAtOneAddressAreNoTrap) {
  SymbolTable table;
  for (int i = 0; i < 100000; ++i) table.add(base, 0, 'T', "same");
  for (int i = 0; i < 100000; ++i) table.add(base, 0, 'T', std::to_string(i));
  table.finish();
  EXPECT_TRUE(table.lookup(base));
  EXPECT_TRUE(table.find("99999"));
}

}  // namespace
}  // namespace kdk
