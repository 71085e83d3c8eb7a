// Searching memory: what is found, where, and what is said of the rest.
#include "analyze/inspect/search.h"

#include <gtest/gtest.h>

#include "core/kernel/modules.h"
#include "tests/support/crash_scene.h"

namespace kdk {
namespace {

using test::Scene;

struct Opened {
  explicit Opened(const test::DumpBuilder& machine)
      : dump(machine.open()), kernel(*dump), types(kernel), owners(types) {}
  std::unique_ptr<Dump> dump;
  Kernel kernel;
  TypedMemory types;
  OwnerFinder owners;

  SearchResult search(std::vector<SearchPattern> patterns, unsigned threads = 1, uint64_t limit = 1000,
                      bool stacks = false) {
    return search_memory(kernel, owners, {std::move(patterns), stacks, limit, threads});
  }
};

SearchPattern value(uint64_t number, unsigned unit = 8, uint64_t mask = ~uint64_t{0}) {
  return {"", unit, number, mask, {}};
}
SearchPattern text(std::string_view bytes) {
  return {"", 0, 0, 0, {bytes.begin(), bytes.end()}};
}
constexpr uint64_t rare = 0x5ca1ab1e0ddba115;

TEST(Search, AlignedValuesOfEachSize) {
  Scene scene;
  test::DumpBuilder& machine = *scene.machine;
  const VirtAddr area = machine.alloc(4096, 4096);
  machine.put_u64(area + 8, rare);
  machine.put_u64(area + 4096 - 8, rare);
  machine.put_u64(area + 100, rare);  // not aligned to 8
  Opened o(machine);
  const SearchResult found = o.search({value(rare)});
  ASSERT_EQ(2u, found.hits.size());
  EXPECT_EQ(machine.phys(area + 8).value, found.hits[0].physical);
  EXPECT_EQ(area.value + 8, found.hits[0].linear);
  EXPECT_EQ(rare, found.hits[0].value);
  EXPECT_EQ(machine.phys(area + 4088).value, found.hits[1].physical);
  EXPECT_EQ(3u, o.search({value(rare & 0xffffffff, 4)}).total);
  EXPECT_EQ(3u, o.search({value(rare >> 48, 2)}).total);
  EXPECT_EQ(2u, o.search({value(rare & 0xffffffff00000000, 8, 0xffffffff00000000)}).total);
  EXPECT_EQ(0u, o.search({value(rare + 1)}).total);
}

TEST(Search, BytesAcrossPagesAndNotAcrossGaps) {
  Scene scene;
  test::DumpBuilder& machine = *scene.machine;
  const VirtAddr area = machine.alloc(4 * 4096, 4096);
  constexpr std::string_view needle = "a needle in the hay";
  machine.put_text(area + 4096 - 7, needle);
  machine.put_text(area + 3 * 4096 - 7, needle);
  machine.put_text(area + 5, needle);
  const Pfn missing = machine.pfn_of(machine.phys(area + 2 * 4096));
  machine.exclude(missing);
  Opened o(machine);
  const SearchResult found = o.search({text(needle)});
  ASSERT_EQ(2u, found.hits.size());
  EXPECT_EQ(machine.phys(area + 5).value, found.hits[0].physical);
  EXPECT_EQ(machine.phys(area + 4096 - 7).value, found.hits[1].physical);
  EXPECT_EQ(1u, found.pages_absent);
}

TEST(Search, ThreadsAndLimitsGiveTheSameFirstPlaces) {
  // Several chunks of pages, with something at each of their ends.
  Scene scene({.machine = {.ram = {{0x40000000, uint64_t{96} << 20}}}});
  test::DumpBuilder& machine = *scene.machine;
  std::vector<uint64_t> places;
  for (uint64_t pfn : {8190, 8191, 8192, 16383, 16384, 20000}) {
    const PhysAddr at{0x40000000 + pfn * 4096 + 4096 - 4};
    machine.put_phys(at, as_bytes("across a page's end"));
    places.push_back(at.value);
  }
  Opened o(machine);
  const SearchResult one = o.search({text("across a page's end")}, 1),
                     four = o.search({text("across a page's end")}, 4);
  ASSERT_EQ(places.size(), one.hits.size());
  ASSERT_EQ(places.size(), four.hits.size());
  for (size_t i = 0; i < places.size(); ++i) {
    EXPECT_EQ(places[i], one.hits[i].physical);
    EXPECT_EQ(places[i], four.hits[i].physical);
  }
  const SearchResult limited = o.search({text("across a page's end")}, 4, 2);
  EXPECT_EQ(places.size(), limited.total);
  ASSERT_EQ(2u, limited.hits.size());
  EXPECT_EQ(places[1], limited.hits[1].physical);
}

TEST(Search, OwnersAndHowTheKernelUsesAPlace) {
  Scene scene;
  test::DumpBuilder& machine = *scene.machine;
  machine.put_u64(scene.init_task + 0x78, rare);  // behind comm
  Opened o(machine);
  const SearchResult found = o.search({value(rare)});
  ASSERT_EQ(1u, found.hits.size());
  EXPECT_EQ(scene.init_task.value + 0x78, found.hits[0].used_as);
  EXPECT_EQ(Owner::Kind::symbol, found.hits[0].owner.kind);
  EXPECT_EQ("init_task", found.hits[0].owner.name);
}

TEST(Search, StacksOnly) {
  Scene scene;
  test::DumpBuilder& machine = *scene.machine;
  machine.put_u64(machine.alloc(64), rare);
  Opened before(machine);
  const auto stacks = before.owners.task_stacks();
  const auto mine = std::find_if(stacks.begin(), stacks.end(), [](const auto& s) { return s.pid == 77; });
  ASSERT_NE(stacks.end(), mine);
  machine.put_u64({mine->low + 0x200}, rare);
  Opened o(machine);
  EXPECT_EQ(2u, o.search({value(rare)}).total);
  const SearchResult found = o.search({value(rare)}, 1, 1000, true);
  ASSERT_EQ(1u, found.hits.size());
  EXPECT_EQ(mine->low + 0x200, found.hits[0].used_as);
  EXPECT_EQ("trigger", found.hits[0].owner.name);
  EXPECT_EQ(77, found.hits[0].owner.pid);
}

TEST(Search, NothingIsNotEverywhere) {
  Scene scene;
  Opened o(*scene.machine);
  EXPECT_EQ(0u, o.search({text("")}).total);
  EXPECT_EQ(0u, o.search({}).total);
}

}  // namespace
}  // namespace kdk
