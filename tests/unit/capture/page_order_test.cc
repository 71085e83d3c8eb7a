// The order of pages on a small crashed machine.
#include "capture/filter/page_order.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "capture/filter/choose.h"
#include "tests/support/crash_scene.h"
#include "tests/support/page_builder.h"

namespace kdk {
namespace {

using test::PageBuilder;
using test::Scene;
using test::SceneOptions;
using Marked = test::PageClass;

struct Ordered {
  explicit Ordered(const SceneOptions& options = {}) : scene(options), pages(*scene.machine) {
    free_block = scene.machine->pfn_of({align_up(scene.machine->alloc_pages(400).value, 64 * 4096)});
    pages.set(free_block + 64, 0, Marked::slab);
    for (uint64_t i = 128; i < 192; ++i) pages.set(free_block + i, 0, Marked::cache);
  }
  const PageOrder& order(unsigned level) {
    dump = scene.machine->open();
    kernel = std::make_unique<Kernel>(*dump);
    ChooseRequest request;
    request.level = level;
    choice = choose_pages(*dump, kernel.get(), request);
    return *choice.order;
  }
  // The group that a page is in.
  std::string group_of(Pfn pfn) const {
    for (const PageOrder::Group& group : choice.order->first) {
      if (std::ranges::any_of(group.ranges, [&](const PfnRange& r) { return r.contains(pfn); }))
        return group.name;
    }
    return choice.order->rest[choice.order->block_group[pfn.value / 64]];
  }
  Pfn pfn(VirtAddr va) const { return scene.machine->pfn_of(scene.machine->phys(va)); }

  Scene scene;
  PageBuilder pages;
  Pfn free_block;
  std::unique_ptr<Dump> dump;
  std::unique_ptr<Kernel> kernel;
  PageChoice choice;
};

class EveryScene : public testing::TestWithParam<SceneOptions> {};

TEST_P(EveryScene, WhatTellsMostComesFirst) {
  Ordered o(GetParam());
  const PageOrder& order = o.order(31);
  constexpr std::string_view in_order[] = {"page_tables",  "log",        "cpus",       "sections",
                                           "per_cpu",      "tasks",      "image_data", "modules",
                                           "image_rodata", "image_text", "mapped",     "linear_tables"};
  size_t at = 0;
  for (const PageOrder::Group& group : order.first) {
    while (at < std::size(in_order) && in_order[at] != group.name) ++at;
    ASSERT_LT(at, std::size(in_order)) << group.name;
    EXPECT_FALSE(group.ranges.empty());
  }
  EXPECT_EQ(o.group_of(o.pfn({*o.kernel->vmcoreinfo().symbol("prb")})), "log");
  const std::string tasks = o.group_of(o.pfn(o.scene.blocked_task));
  // Small things share pages here with what comes earlier.
  EXPECT_TRUE(tasks == "tasks" || tasks == "per_cpu" || tasks == "cpus" || tasks == "log") << tasks;
  EXPECT_EQ(o.group_of(o.free_block + 64), "slab");
  EXPECT_EQ(o.group_of(o.free_block + 100), "slab");  // the same block
  EXPECT_EQ(o.group_of(o.free_block), "kernel");
}
INSTANTIATE_TEST_SUITE_P(Scenes, EveryScene,
                         testing::Values(SceneOptions{}, SceneOptions{.data_symbols = false},
                                         SceneOptions{.machine = {.x86_64 = test::X86_64Options{}}}));

TEST(PageOrderOf, WhatALevelKeepsOfUsersComesLate) {
  Ordered o;
  o.order(1);
  EXPECT_EQ(o.group_of(o.free_block + 130), "cache");
  EXPECT_EQ(o.group_of(o.free_block + 64), "slab");
}

TEST(PageOrderOf, WithoutAKernelThereIsNone) {
  Ordered o;
  o.dump = o.scene.machine->open();
  ChooseRequest request;
  request.why_not = "no VMCOREINFO";
  EXPECT_FALSE(choose_pages(*o.dump, nullptr, request).order);
}

}  // namespace
}  // namespace kdk
