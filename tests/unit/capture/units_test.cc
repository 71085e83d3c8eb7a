// The order in which pages are handed to workers: every page once, with its index, the groups in their order.
#include "capture/output/units.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>

namespace kdk {
namespace {

std::vector<Unit> all_units(Units& units) {
  std::vector<Unit> result;
  for (Unit unit; units.next(unit);) result.push_back(unit);
  return result;
}

// What holds for every order: each page once, its index right, ascending inside a unit, groups never going
// back.
void check(const PfnBitmap& bits, Units& units, size_t most) {
  std::map<uint64_t, uint64_t> index;
  size_t group = 0;
  std::vector<uint64_t> of_group(units.groups().size());
  for (const Unit& unit : all_units(units)) {
    ASSERT_FALSE(unit.pages.empty());
    ASSERT_LE(unit.pages.size(), most);
    ASSERT_EQ(unit.pages.size(), unit.indexes.size());
    EXPECT_GE(unit.group, group);
    group = unit.group;
    of_group[group] += unit.pages.size();
    for (size_t i = 0; i < unit.pages.size(); ++i) {
      if (i != 0) {
        EXPECT_LT(unit.pages[i - 1], unit.pages[i]);
      }
      EXPECT_TRUE(index.emplace(unit.pages[i].value, unit.indexes[i]).second)
          << "twice: " << unit.pages[i].value;
    }
  }
  EXPECT_EQ(index.size(), bits.count());
  EXPECT_EQ(units.total(), bits.count());
  for (const auto& [pfn, at] : index) {
    EXPECT_TRUE(bits.test({pfn}));
    EXPECT_EQ(at, bits.count_below({pfn})) << pfn;
  }
  for (size_t g = 0; g < of_group.size(); ++g) EXPECT_EQ(units.groups()[g].pages, of_group[g]) << g;
}

std::vector<uint64_t> pages_of(Units& units) {
  std::vector<uint64_t> pages;
  for (const Unit& unit : all_units(units)) {
    for (Pfn pfn : unit.pages) pages.push_back(pfn.value);
  }
  return pages;
}

TEST(UnitsTest, WithoutAnOrderPagesAscend) {
  PfnBitmap bits(1000);
  for (uint64_t p = 0; p < 1000; p += 3) bits.set({p});
  const std::vector<PfnRange> ram{{{0}, {1000}}};
  const PageOrder order;
  Units units(bits, ram, order, 16);
  check(bits, units, 16);
  Units again(bits, ram, order, 16);
  EXPECT_TRUE(std::ranges::is_sorted(pages_of(again)));
}

TEST(UnitsTest, GroupsComeInTheirOrder) {
  PfnBitmap bits(256);
  bits.set_range({{0}, {256}});
  bits.clear({201});
  PageOrder order;
  order.first = {{"a", {{{200}, {203}}}}, {"b", {{{10}, {12}}, {{100}, {101}}}}};
  order.rest = {"slab", "other"};
  order.block_group = ByteMap(4);
  order.block_group[0] = order.block_group[2] = 1;
  const std::vector<PfnRange> ram{{{0}, {256}}};
  Units units(bits, ram, order, 1000);
  const std::vector<Unit> got = all_units(units);
  ASSERT_EQ(got.size(), 4u);
  EXPECT_EQ(got[0].pages, (std::vector<Pfn>{{200}, {202}}));
  EXPECT_EQ(got[0].indexes, (std::vector<uint64_t>{200, 201}));
  EXPECT_EQ(got[1].pages, (std::vector<Pfn>{{10}, {11}, {100}}));
  EXPECT_EQ(got[2].pages.front(), Pfn{64});  // the blocks 1 and 3, of slab, without 100, 200 to 202
  EXPECT_EQ(got[2].pages.size(), 128u - 4);
  EXPECT_EQ(got[3].pages.front(), Pfn{0});
  Units again(bits, ram, order, 7);
  check(bits, again, 7);
}

TEST(UnitsTest, BanksFarApartAndRangesInOneWord) {
  const uint64_t far = uint64_t{1} << 30;
  PfnBitmap bits(far + 100);
  const std::vector<PfnRange> ram{{{5}, {20}}, {{30}, {50}}, {{60}, {130}}, {{far}, {far + 100}}};
  for (const PfnRange& range : ram) bits.set_range(range);
  PageOrder order;
  order.first = {{"a", {{{far + 3}, {far + 9}}}}, {"b", {{{62}, {66}}}}};
  Units units(bits, ram, order, 16);
  check(bits, units, 16);
}

TEST(UnitsTest, AnyOrderGivesEveryPageOnce) {
  std::mt19937_64 random(7);
  for (int round = 0; round < 30; ++round) {
    const uint64_t end = 64 * (1 + random() % 20) - random() % 63;
    PfnBitmap bits(end);
    for (uint64_t p = 0; p < end; ++p) {
      if (random() % 3 != 0) bits.set({p});
    }
    const std::vector<PfnRange> ram{{{0}, {end}}};
    PageOrder order;
    for (int g = 0; g < 3; ++g) {
      PageOrder::Group group{"g", {}};
      for (int i = 0; i < 10; ++i) {
        const uint64_t begin = random() % end;
        group.ranges.push_back({{begin}, {std::min(end, begin + 1 + random() % 20)}});
      }
      order.first.push_back(group);
    }
    make_disjoint(order.first, ram);
    order.rest = {"x", "y"};
    order.block_group = ByteMap(end / 64);  // one short: the last block belongs to the first group
    for (uint8_t& g : order.block_group) g = static_cast<uint8_t>(random() % 5);  // some say nothing we know
    const size_t most = 1 + random() % 30;
    Units units(bits, ram, order, most);
    check(bits, units, most);
  }
}

TEST(PageOrderTest, EarlierGroupsKeepTheirPages) {
  std::vector<PageOrder::Group> groups{{"a", {{{10}, {20}}}},
                                       {"b", {{{15}, {30}}, {{5}, {12}}}},
                                       {"c", {{{11}, {13}}}},
                                       {"d", {{{0}, {100}}}}};
  make_disjoint(groups, {{{0}, {50}}});
  ASSERT_EQ(groups.size(), 3u);  // c had nothing of its own
  EXPECT_EQ(groups[0].ranges, (std::vector<PfnRange>{{{10}, {20}}}));
  EXPECT_EQ(groups[1].ranges, (std::vector<PfnRange>{{{5}, {10}}, {{20}, {30}}}));
  EXPECT_EQ(groups[2].ranges, (std::vector<PfnRange>{{{0}, {5}}, {{30}, {50}}}));
}

}  // namespace
}  // namespace kdk
