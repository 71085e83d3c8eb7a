// Kernel, per-CPU variables and the search for BTF, over a synthetic machine.
#include "core/kernel/kernel.h"

#include <gtest/gtest.h>

#include "core/kernel/percpu.h"
#include "tests/support/btf_builder.h"
#include "tests/support/dump_builder.h"

namespace kdk {
namespace {

using test::BtfBuilder;
using test::DumpBuilder;

std::vector<uint8_t> some_btf() {
  BtfBuilder b;
  const uint32_t u64 = b.integer("unsigned long", 8);
  b.structure("cpumask", 8, {{"bits", b.array(u64, 1), 0}});
  b.structure("task_struct", 64, {{"flags", u64, 0}, {"pid", b.integer("int", 4), 128}});
  return b.bytes();
}

TEST(Kernel, OpensWithoutSymbolsAndTypes) {
  DumpBuilder machine;
  machine.erase("SYMBOL(_stext)");
  const auto dump = machine.open();
  Kernel kernel(*dump);
  EXPECT_FALSE(kernel.symbols_opened());
  EXPECT_TRUE(kernel.problems().empty());
  EXPECT_EQ(kernel.btf(), nullptr);
  EXPECT_FALSE(kernel.symbols_opened());  // finding the types takes single symbols only
  EXPECT_TRUE(kernel.types_opened());
  kernel.symbols();
  EXPECT_TRUE(kernel.symbols_opened());
  EXPECT_FALSE(kernel.layout().has_types());
  EXPECT_FALSE(kernel.symbol("schedule"));
  ASSERT_EQ(kernel.problems().size(), 2u);
  EXPECT_EQ(kernel.problems()[0],
            "no types from the dump: neither __start_BTF nor the kernel's text is known");
  EXPECT_EQ(kernel.problems()[1], "no symbols from kallsyms: VMCOREINFO has no SYMBOL(kallsyms_names)");
}

TEST(Kernel, AsksVmcoreinfoBeforeTheTable) {
  DumpBuilder machine;
  machine.symbol("init_task", VirtAddr{0xffff800012340000});
  const auto dump = machine.open();
  Kernel kernel(*dump);
  EXPECT_EQ(kernel.symbol("init_task"), VirtAddr{0xffff800012340000});
  kernel.symbols().add(0x1000, 0, 'D', "init_task");
  kernel.symbols().add(0x2000, 0, 'D', "added");
  kernel.symbols().finish();
  EXPECT_EQ(kernel.symbol("init_task"), VirtAddr{0xffff800012340000});
  EXPECT_EQ(kernel.symbol("added"), VirtAddr{0x2000});
}

TEST(Kernel, FindsBtfBySearchingTheImage) {
  DumpBuilder machine;
  const std::vector<uint8_t> btf = some_btf();
  machine.image_alloc(3 * machine.page_size());
  // Across a page boundary, at an odd address, after something that only looks like a header.
  const VirtAddr decoy = machine.image_alloc(64);
  machine.put(decoy, Bytes(btf).first(8));
  const VirtAddr area = machine.image_alloc(3 * machine.page_size(), machine.page_size());
  machine.put(area + machine.page_size() - 3, btf);
  const auto dump = machine.open();
  Kernel kernel(*dump);
  ASSERT_NE(kernel.btf(), nullptr);
  EXPECT_TRUE(kernel.layout().has_types());
  EXPECT_EQ(kernel.layout().offset("task_struct", "pid"), 16u);
}

TEST(Kernel, FindsBtfBySymbolsAndSaysWhatIsWrongWithIt) {
  DumpBuilder machine;
  const std::vector<uint8_t> btf = some_btf();
  const VirtAddr start = machine.alloc(btf.size());  // not in the image: a search would not find it
  machine.put(start, btf);
  const auto dump = machine.open();
  {
    Kernel kernel(*dump);
    kernel.symbols().add(start.value, 0, 'R', "__start_BTF");
    kernel.symbols().add(start.value + btf.size(), 0, 'R', "__stop_BTF");
    kernel.symbols().finish();
    ASSERT_NE(kernel.btf(), nullptr);
    EXPECT_EQ(kernel.btf()->size_of("task_struct"), 64u);
  }
  Kernel kernel(*dump);
  kernel.symbols().add(start.value + 1, 0, 'R', "__start_BTF");
  kernel.symbols().add(start.value + btf.size(), 0, 'R', "__stop_BTF");
  kernel.symbols().finish();
  EXPECT_EQ(kernel.btf(), nullptr);
  EXPECT_NE(kernel.problems().back().find("wrong magic number"), std::string::npos)
      << kernel.problems().back();
}

TEST(Kernel, SearchGoesOnOverExcludedPages) {
  DumpBuilder machine;
  const std::vector<uint8_t> btf = some_btf();
  const VirtAddr hole = machine.image_alloc(machine.page_size(), machine.page_size());
  machine.put(machine.image_alloc(machine.page_size(), machine.page_size()), btf);
  machine.exclude(machine.pfn_of(machine.phys(hole)));
  const auto dump = machine.open();
  Kernel kernel(*dump);
  EXPECT_NE(kernel.btf(), nullptr);
}

TEST(Percpu, FindsEachCpusInstance) {
  DumpBuilder machine;
  const VirtAddr offsets = machine.image_alloc(4 * 8);
  const VirtAddr variable = machine.image_alloc(8);
  machine.put_u64(offsets, 0x100000);
  machine.put_u64(offsets + 8, 0 - uint64_t{0x200000});
  machine.symbol("__per_cpu_offset", offsets);
  machine.symbol("runqueues", variable);
  const auto dump = machine.open();
  Kernel kernel(*dump);
  EXPECT_EQ(per_cpu_address(kernel, "runqueues", 0), variable + 0x100000);
  EXPECT_EQ(per_cpu_address(kernel, "runqueues", 1), variable - 0x200000);
  EXPECT_EQ(per_cpu_address(kernel, "runqueues", 2), std::nullopt);  // never possible: no area
  EXPECT_EQ(per_cpu_address(kernel, "runqueues", 1u << 30), std::nullopt);
  EXPECT_EQ(per_cpu_address(kernel, "unknown", 0), std::nullopt);
}

// x86-64 before v6.15: variables are linked from address 0, and CPUs that cannot be have the offset of the
// image's initial copy.
TEST(Percpu, FindsThemWhereTheyAreLinkedFromZero) {
  DumpBuilder machine({.x86_64 = test::X86_64Options{}});
  const VirtAddr offsets = machine.image_alloc(4 * 8), initial = machine.image_alloc(64),
                 mask = machine.image_alloc(8);
  const VirtAddr area = machine.alloc(64);
  machine.put_u64(offsets, area.value);
  for (uint64_t cpu : {1u, 2u, 3u}) machine.put_u64(offsets + cpu * 8, initial.value);
  machine.put_u64(mask, 1);
  machine.put_u64(area + 0x20, 4711);
  const auto dump = machine.open();
  Kernel kernel(*dump);
  kernel.symbols().add(0, 0, 'A', "fixed_percpu_data");
  kernel.symbols().add(0x20, 0, 'A', "cpu_number");
  kernel.symbols().add(offsets.value, 0, 'D', "__per_cpu_offset");
  kernel.symbols().add(mask.value, 0, 'D', "__cpu_possible_mask");
  kernel.symbols().finish();
  ASSERT_EQ(per_cpu_address(kernel, "cpu_number", 0), area + 0x20);
  EXPECT_EQ(kernel.memory().u64(area + 0x20), 4711u);
  EXPECT_EQ(per_cpu_address(kernel, "cpu_number", 1), std::nullopt);
}

TEST(Percpu, ReadsCpuMasks) {
  DumpBuilder machine;
  const VirtAddr mask = machine.image_alloc(16);
  machine.put_u64(mask, 0x8000000000000005);
  machine.put_u64(mask + 8, ~uint64_t{0});  // beyond struct cpumask
  machine.put(machine.image_alloc(machine.page_size()), some_btf());
  machine.symbol("__cpu_possible_mask", mask);
  const auto dump = machine.open();
  Kernel kernel(*dump);
  EXPECT_EQ(cpu_mask(kernel, "__cpu_possible_mask"), (std::vector<unsigned>{0, 2, 63}));
  EXPECT_EQ(cpu_mask(kernel, "__cpu_online_mask"), std::nullopt);
}

TEST(Percpu, WithoutTypesTheNextSymbolEndsTheMask) {
  DumpBuilder machine;
  const VirtAddr mask = machine.image_alloc(16);
  machine.put_u64(mask, 3);
  machine.put_u64(mask + 8, 3);
  const auto dump = machine.open();
  Kernel kernel(*dump);
  EXPECT_EQ(cpu_mask(kernel, "__cpu_present_mask"), std::nullopt);
  kernel.symbols().add(mask.value, 0, 'D', "__cpu_present_mask");
  kernel.symbols().add(mask.value + 8, 0, 'D', "next");
  kernel.symbols().finish();
  EXPECT_EQ(cpu_mask(kernel, "__cpu_present_mask"), (std::vector<unsigned>{0, 1}));
}

}  // namespace
}  // namespace kdk
