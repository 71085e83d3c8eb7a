// Addresses as people type them, memory at them, their translation and their owners.
#include <gtest/gtest.h>

#include "analyze/inspect/address.h"
#include "analyze/inspect/memory_view.h"
#include "analyze/inspect/owner.h"
#include "analyze/inspect/slab_table.h"
#include "analyze/inspect/translation.h"
#include "core/kernel/modules.h"
#include "core/kernel/tasks.h"
#include "library/handle.h"
#include "tests/support/crash_scene.h"
#include "tests/support/scrub_machine.h"

namespace kdk {
namespace {

using test::Scene;
using test::ScrubMachine;

struct Opened {
  explicit Opened(const test::DumpBuilder& machine)
      : library(make_handle(machine.open(), "machine")),
        kernel(library.get()->kernel()),
        types(kernel),
        owners(types) {}
  kdumpkit::Dump library;
  Kernel& kernel;
  TypedMemory types;
  OwnerFinder owners;

  MemoryView view(MemoryRequest request) { return view_memory(library, owners, std::move(request)); }
};

TEST(Address, NumbersAsTheKernelPrintsThem) {
  EXPECT_EQ(0x1fu, parse_address("0x1f"));
  EXPECT_EQ(0xffff800012345678u, parse_address("ffff800012345678"));
  for (std::string_view bad : {"", "0x", "1f", "0x12345678123456789", "0xg", "ffff80001234567g"})
    EXPECT_EQ(std::nullopt, parse_address(bad)) << bad;
}

TEST(Address, SymbolsWithOffsets) {
  Scene scene;
  Opened o(*scene.machine);
  EXPECT_EQ(scene.init_task.value, find_address(o.kernel, "init_task"));
  EXPECT_EQ(scene.init_task.value + 0x10, find_address(o.kernel, "init_task+0x10"));
  EXPECT_EQ(scene.init_task.value + 10, find_address(o.kernel, "init_task+10"));
  EXPECT_EQ(scene.init_task.value - 8, find_address(o.kernel, "init_task-8"));
  for (std::string_view bad : {"nosuch", "init_task+", "init_task+x", "+8"})
    EXPECT_EQ(std::nullopt, find_address(o.kernel, bad)) << bad;
}

TEST(MemoryView, NamesWhatIsMissingAndGoesOn) {
  Scene scene;
  test::DumpBuilder& machine = *scene.machine;
  const VirtAddr area = machine.alloc(3 * 4096, 4096);
  machine.put_u64(area + 4096 - 8, 0x1122334455667788);
  machine.put_u64(area + 2 * 4096, scene.init_task.value + 8);
  machine.exclude(machine.pfn_of(machine.phys(area + 4096)));
  Opened o(machine);
  const MemoryView view =
      o.view({.query = "", .start = area.value + 4096 - 8, .count = 514, .unit = 8, .symbols = true});
  ASSERT_EQ(3u, view.pieces.size());
  EXPECT_EQ(0x88, view.pieces[0].bytes.at(0));
  EXPECT_EQ(8u, view.pieces[0].size);
  EXPECT_EQ(KDUMPKIT_MEMORY_EXCLUDED, view.pieces[1].memory);
  EXPECT_EQ(area.value + 4096, view.pieces[1].address);
  EXPECT_EQ(4096u, view.pieces[1].size);
  EXPECT_EQ(8u, view.pieces[2].bytes.size());
  EXPECT_EQ(16u, view.readable_bytes);
  ASSERT_EQ(1u, view.notes.size());
  EXPECT_EQ("init_task+0x8", view.notes.at(area.value + 2 * 4096));
  // The same by physical addresses.
  const uint64_t physical = machine.phys(area + 4096 - 8).value;
  EXPECT_EQ(view.pieces[0].bytes,
            o.view({.query = "", .start = physical, .count = 1, .physical = true}).pieces.at(0).bytes);
}

TEST(MemoryView, HugeCountsAndTheEndOfTheAddressSpaceAreBounded) {
  Scene scene;
  Opened o(*scene.machine);
  const MemoryView view = o.view({.query = "", .start = ~uint64_t{0} - 7, .count = ~uint64_t{0}});
  EXPECT_EQ(0u, view.readable_bytes);
  EXPECT_LE(view.pieces.size(), 16u);
}

TEST(MemoryView, TextEndsWithItsZeroAndIsEscaped) {
  Scene scene;
  test::DumpBuilder& machine = *scene.machine;
  const VirtAddr at = machine.alloc(2 * 4096, 4096) + 4090;
  machine.put_text(at, "abc\x1b[31mdef over the page");
  Opened o(machine);
  const MemoryView view = o.view({.query = "", .start = at.value, .count = 4096, .string = true});
  EXPECT_EQ("abc\\x1b[31mdef over the page", view.text);
  ASSERT_EQ(1u, view.pieces.size());
  EXPECT_EQ(26u, view.pieces[0].bytes.size());
}

TEST(Translation, KernelAddressesAndBack) {
  Scene scene;
  test::DumpBuilder& machine = *scene.machine;
  const VirtAddr stack = machine.vmalloc(1);
  Opened o(machine);
  const AddressTranslation t =
      translate_address(o.library, o.kernel, o.owners, {"", stack.value + 0x10, false, {}});
  EXPECT_EQ("mapped", t.status);
  ASSERT_EQ(4u, t.steps.size());
  EXPECT_EQ(machine.phys(stack).value + 0x10, t.physical_address);
  EXPECT_EQ("present", t.page_state);
  EXPECT_EQ(machine.linear(machine.phys(stack + 0x10)).value, t.linear_address);
  const AddressTranslation back = translate_address(
      o.library, o.kernel, o.owners, {"", machine.image_phys(scene.init_task).value, true, {}});
  EXPECT_EQ(scene.init_task.value, back.image_address);
  EXPECT_EQ("not mapped",
            translate_address(o.library, o.kernel, o.owners, {"", stack.value - 8, false, {}}).status);
  const AddressTranslation user = translate_address(o.library, o.kernel, o.owners, {"", 0x400000, false, {}});
  EXPECT_TRUE(user.steps.empty());
  EXPECT_EQ(std::nullopt, user.physical_address);
}

TEST(Translation, UnknownTasksAreAnError) {
  Scene scene;
  Opened o(*scene.machine);
  EXPECT_THROW(translate_address(o.library, o.kernel, o.owners, {"", 0x400000, false, 4711}), Error);
}

TEST(Owners, SlabObjectsPerCpuVariablesSymbolsAndPages) {
  ScrubMachine m;
  Opened o(m.machine);
  const Owner object = o.owners.find(m.at["slab"] + 5 * 128 + 17);
  EXPECT_EQ(Owner::Kind::slab, object.kind);
  EXPECT_EQ("secret_jar", object.name);
  EXPECT_EQ(m.at["slab"].value + 5 * 128, object.start);
  EXPECT_EQ(128u, object.size);
  ASSERT_TRUE(object.page.has_value());
  EXPECT_TRUE(object.page->slab);
  EXPECT_EQ("[secret_jar]", o.owners.annotate(m.at["slab"].value + 4096));  // in a tail page

  const Owner percpu = o.owners.find(m.at["percpu1"] + 4);
  EXPECT_EQ(Owner::Kind::per_cpu, percpu.kind);
  EXPECT_EQ("percpu_secret", percpu.name);
  EXPECT_EQ(1u, percpu.cpu);
  EXPECT_EQ(m.at["percpu1"].value, percpu.start);

  const Owner symbol = o.owners.find(m.at["plain"] + 2);
  EXPECT_EQ(Owner::Kind::symbol, symbol.kind);
  EXPECT_EQ("plain", symbol.name);

  const Owner linear = o.owners.find(m.at["two"]);
  EXPECT_EQ(Owner::Kind::linear, linear.kind);
  EXPECT_EQ(m.machine.phys(m.at["two"]).value, linear.physical);

  const auto frame = m.machine.pfn_of(m.machine.phys(m.at["slab"]));
  const Owner page = o.owners.find(m.pages.struct_page(frame) + 8);
  EXPECT_EQ(Owner::Kind::struct_page, page.kind);
  EXPECT_EQ(frame, o.owners.pfn_of_struct_page(m.pages.struct_page(frame) + 8));

  EXPECT_EQ(Owner::Kind::not_kernel, o.owners.find({0x1000}).kind);
  EXPECT_EQ("", o.owners.annotate(0x1000));
  EXPECT_EQ("", o.owners.annotate(m.at["two"].value));
}

TEST(Owners, StacksOfTasks) {
  Scene scene;
  Opened o(*scene.machine);
  const TypeRef task = o.types.require_type("task_struct");
  // "trigger" is the one that init_task's list leads to with a stack.
  for (const Task& each : read_tasks(o.kernel).tasks) {
    if (each.pid != 77) continue;
    const auto stack = o.types.number({{each.address}, task}, "stack");
    ASSERT_TRUE(stack);
    const Owner owner = o.owners.find({*stack + 0x100});
    EXPECT_EQ(Owner::Kind::stack, owner.kind);
    EXPECT_EQ("trigger", owner.name);
    EXPECT_EQ(77, owner.pid);
    EXPECT_EQ("<stack of trigger>", o.owners.annotate(*stack + 8));
    return;
  }
  FAIL() << "no task 77";
}

TEST(Slabs, FreeListsAreDecodedAndCounted) {
  for (const bool swapped : {true, false}) {
    ScrubMachine m;
    // Objects 7 and 9 are free; the pointers between them as mm/slub.c stores them, with and without v5.7's
    // swap.
    const VirtAddr seven = m.at["slab"] + 7 * 128, nine = m.at["slab"] + 9 * 128;
    const auto encode = [&](VirtAddr at, uint64_t next) {
      return next ^ ScrubMachine::free_list_key ^ (swapped ? __builtin_bswap64(at.value) : at.value);
    };
    m.machine.put_u64(m.at["slab_page"] + 32, seven.value);
    m.machine.put_u64(seven, encode(seven, nine.value));
    m.machine.put_u64(nine, encode(nine, 0));
    Opened o(m.machine);
    SlabPages pages(o.types);
    SlabUse use(o.types);
    EXPECT_EQ(false, use.in_use(*pages.object_of(seven + 5)));
    EXPECT_EQ(false, use.in_use(*pages.object_of(nine)));
    EXPECT_EQ(true, use.in_use(*pages.object_of(m.at["slab"] + 8 * 128)));
    const SlabTable table = read_slab_table(o.types);
    ASSERT_EQ(1u, table.caches.size());
    const SlabCache& cache = table.caches[0];
    EXPECT_EQ("secret_jar", cache.name);
    EXPECT_EQ(120u, cache.object_bytes);
    EXPECT_EQ(128u, cache.stride_bytes);
    EXPECT_EQ(64u, cache.objects);
    EXPECT_EQ(62u, cache.in_use);
    EXPECT_EQ(1u, cache.slabs);
    EXPECT_EQ(2u, cache.pages);
    EXPECT_EQ(0u, table.unlisted_pages);
  }
}

TEST(Slabs, AFreeListThatLeadsAstrayIsUnknown) {
  ScrubMachine m;
  const VirtAddr seven = m.at["slab"] + 7 * 128;
  m.machine.put_u64(m.at["slab_page"] + 32, seven.value);
  m.machine.put_u64(seven,
                    seven.value ^ ScrubMachine::free_list_key ^ __builtin_bswap64(seven.value));  // itself
  Opened o(m.machine);
  SlabPages pages(o.types);
  EXPECT_EQ(std::nullopt, SlabUse(o.types).in_use(*pages.object_of(seven)));
}

// Whatever the slab's own words are: an answer, and no crash.
TEST(Owners, HostileSlabs) {
  for (const int fill : {0x00, 0xff, 0x41}) {
    ScrubMachine m;
    m.overwrite(std::vector<uint8_t>(4096, static_cast<uint8_t>(fill)));
    Opened o(m.machine);
    for (uint64_t at = 0; at < 8192; at += 1024) {
      o.owners.find(m.at["slab"] + at);
      o.owners.annotate(m.at["slab"].value + at);
    }
  }
}

}  // namespace
}  // namespace kdk
