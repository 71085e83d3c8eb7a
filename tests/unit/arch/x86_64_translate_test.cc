// Every x86-64 address layout on a synthetic machine whose page tables tests/support encodes on its own.
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "core/arch/arch.h"
#include "tests/support/dump_builder.h"
#include "tests/unit/arch/opened_machine.h"

namespace kdk {
namespace {

using test::DumpBuilder;
using test::MachineMemory;
using test::MachineOptions;
using test::Opened;
using test::X86_64Options;
using Status = Translation::Status;

constexpr uint64_t mib = uint64_t{1} << 20;
constexpr uint64_t gib = uint64_t{1} << 30;
constexpr uint64_t start_kernel_map = 0xffffffff80000000;

MachineOptions machine_of(X86_64Options x86, uint64_t kaslr = 0x12600000,
                          std::vector<std::pair<uint64_t, uint64_t>> ram = {}) {
  return {.ram = std::move(ram), .kaslr = kaslr, .x86_64 = x86};
}

struct Case {
  std::string name;
  MachineOptions options;
};
void PrintTo(const Case& c, std::ostream* out) {
  *out << c.name;
}

class EveryLayout : public testing::TestWithParam<Case> {};

TEST_P(EveryLayout, TranslatesLinearImageAndVmallocAddresses) {
  DumpBuilder machine(GetParam().options);
  const VirtAddr stack = machine.vmalloc(3);
  machine.map(machine.vmemmap_start(), machine.alloc_pages(1), 4096);
  machine.map(machine.module_area() + 0x5000, machine.alloc_pages(1), 4096);
  machine.map({0xfffffe0000001000}, machine.alloc_pages(1), 4096);  // cpu_entry_area
  machine.map({0xffffffffff578000}, machine.alloc_pages(1), 4096);  // fixmap
  Opened translate(machine);

  for (auto [base, bytes] : machine.options().ram) {
    for (uint64_t at : {uint64_t{0}, uint64_t{0x1238}, 2 * mib + 8, bytes - 8}) {
      const Translation t = translate(machine.linear({base + at}));
      ASSERT_TRUE(t) << std::hex << machine.linear({base + at}).value;
      EXPECT_EQ(t.pa.value, base + at);
      EXPECT_EQ(translate(machine.linear({base + at}) + (t.contiguous - 1)).pa.value,
                t.pa.value + t.contiguous - 1);
    }
  }
  for (VirtAddr va : {machine.text(), machine.stext(), machine.image_end() - 8}) {
    EXPECT_EQ(translate(va).pa, machine.image_phys(va)) << std::hex << va.value;
  }
  for (VirtAddr va : {stack + 0x1008, machine.vmemmap_start() + 64, machine.module_area() + 0x5010,
                      VirtAddr{0xfffffe0000001fff}, VirtAddr{0xffffffffff578010}}) {
    const Translation t = translate(va);
    EXPECT_EQ(t.pa, machine.phys(va)) << std::hex << va.value;
    EXPECT_EQ(t.contiguous, 4096 - va.value % 4096);
  }
  for (VirtAddr va : {stack - 8, stack + 3 * 4096, machine.module_area() + 0x4fff, machine.image_end(),
                      machine.text() - 1, VirtAddr{~uint64_t{0}}}) {
    EXPECT_EQ(translate(va).status, Status::unmapped) << std::hex << va.value;
  }
}

TEST_P(EveryLayout, DescribesItself) {
  DumpBuilder machine(GetParam().options);
  const VaLayout layout = Opened(machine).translator->layout();
  const bool five = machine.options().x86_64->levels == 5;
  EXPECT_EQ(layout.va_bits, five ? 57u : 48u);
  EXPECT_EQ(layout.page_shift, 12u);
  EXPECT_EQ(layout.page_offset, machine.page_offset());
  EXPECT_EQ(layout.phys_offset, 0u);
  EXPECT_EQ(layout.image_offset, machine.image_offset());
  EXPECT_EQ(layout.kernel_start, five ? 0xff00000000000000 : 0xffff800000000000);
}

TEST_P(EveryLayout, RefusesWhatIsNotKernelSpace) {
  DumpBuilder machine(GetParam().options);
  // The user half of the tables, as the crash kernel's identity mapping would fill it.
  machine.map({0x400000}, {0x400000}, 4096);
  Opened translate(machine);
  const uint64_t start = translate.translator->layout().kernel_start;
  for (uint64_t va : {uint64_t{0}, uint64_t{0x400000}, uint64_t{0x00007fffffffffff}, start - 8,
                      uint64_t{0xdead000000000100}}) {
    EXPECT_EQ(translate({va}).status, Status::not_kernel) << std::hex << va;
  }
}

TEST_P(EveryLayout, WorksWithoutTheLowerTables) {
  DumpBuilder machine(GetParam().options);
  const VirtAddr data = machine.alloc(64), stack = machine.vmalloc(1);
  machine.symbol("clear_seq", machine.image_end() - 64);
  std::set<uint64_t> tables;
  Opened(machine).translator->walk_tables([&](const Translator::TableEntry& entry) {
    // Those of the linear map stay: without them nothing says where it starts.
    if (entry.table && entry.va.value >= 0xffffff8000000000) tables.insert(machine.pfn_of(entry.pa).value);
    return true;
  });
  ASSERT_GE(tables.size(), 3u);
  for (uint64_t pfn : tables) machine.exclude({pfn});
  Opened translate(machine);
  EXPECT_EQ(translate(machine.stext()).pa, machine.image_phys(machine.stext()));
  EXPECT_EQ(translate(machine.image_end() - 8).pa, machine.image_phys(machine.image_end() - 8));
  EXPECT_EQ(translate(data).pa, machine.phys(data));
  EXPECT_EQ(translate(stack).pa, machine.phys(stack));
  EXPECT_EQ(translate(machine.module_area()).status, Status::table_unavailable);
}

TEST_P(EveryLayout, TellsEachStepOfAWalk) {
  using Kind = Translator::Step::Kind;
  DumpBuilder machine(GetParam().options);
  const VirtAddr stack = machine.vmalloc(1), last = machine.image_end() - 8;
  Opened opened(machine);
  for (VirtAddr va : {stack + 0x18, machine.stext() + 0x1234, last}) {
    const auto steps = opened.translator->steps({}, va);
    ASSERT_FALSE(steps.empty());
    EXPECT_EQ("pgd", steps.front().level);
    EXPECT_EQ(Kind::leaf, steps.back().kind);
    EXPECT_EQ(steps.back().to, machine.phys(va)) << std::hex << va.value;
    for (size_t i = 0; i < steps.size(); ++i) {
      EXPECT_EQ(machine.phys_u64(steps[i].entry), steps[i].raw);
      EXPECT_EQ(i + 1 < steps.size(), steps[i].kind == Kind::table);
      if (i > 0) {
        EXPECT_EQ(steps[i - 1].to.value, align_down(steps[i].entry.value, machine.page_size()));
        EXPECT_EQ(steps[i - 1].height, steps[i].height + 1);
      }
    }
    if (steps.back().height == 0) {
      EXPECT_EQ("pte", steps.back().level);
    }
    // The same tables under another root, as a task's are.
    const auto again = opened.translator->steps(machine.root_table(), va);
    ASSERT_EQ(again.size(), steps.size());
    EXPECT_EQ(again.back().to, steps.back().to);
  }
  // Where nothing is mapped, and where a table is missing.
  EXPECT_EQ(Kind::invalid, opened.translator->steps({}, stack - 8).back().kind);
  const auto steps = opened.translator->steps({}, stack);
  machine.exclude(machine.pfn_of(steps.back().entry));
  EXPECT_EQ(Kind::unreadable, Opened(machine).translator->steps({}, stack).back().kind);
}

TEST_P(EveryLayout, EnumeratesExactlyWhatIsMapped) {
  DumpBuilder machine(GetParam().options);
  const VirtAddr stack = machine.vmalloc(2);
  Opened opened(machine);
  uint64_t linear = 0, image = 0, vmalloc = 0, last = 0;
  EXPECT_TRUE(opened.translator->walk_tables([&](const Translator::TableEntry& entry) {
    EXPECT_GE(entry.va.value, last) << "address order";
    last = entry.va.value;
    if (entry.table) return true;
    EXPECT_EQ(opened(entry.va).pa, entry.pa);
    if (entry.va.value - machine.text().value < machine.options().image_size) image += entry.size;
    if (entry.va.value - stack.value < 2 * 4096) vmalloc += entry.size;
    if (entry.va == machine.linear(entry.pa)) linear += entry.size;
    return true;
  }));
  uint64_t ram = 0;
  for (auto [base, bytes] : machine.options().ram) ram += bytes;
  EXPECT_EQ(linear, ram);
  EXPECT_EQ(image, machine.options().image_size);
  EXPECT_EQ(vmalloc, 2u * 4096);
}

// RAM at both ends of what 52 bits can address, with every page size in the linear map.
const std::vector<std::pair<uint64_t, uint64_t>> high_ram = {
    {0, 16 * mib}, {gib, 2 * gib}, {(uint64_t{1} << 45) + 2 * mib, 4 * mib}};
// With encryption the top bits are not address: bit 47 here, 51 on later CPUs.
constexpr uint64_t c_bit_47 = uint64_t{1} << 47, c_bit_51 = uint64_t{1} << 51;

INSTANTIATE_TEST_SUITE_P(
    X86_64, EveryLayout,
    testing::Values(
        Case{"L4_no_kaslr", machine_of({}, 0x1000000)},
        Case{"L4_kaslr", machine_of({.page_offset = 0xffff8d0600000000})},
        Case{"L4_old_base", machine_of({.page_offset = 0xffff880000000000, .root = "init_level4_pgt"})},
        Case{"L4_high_ram", machine_of({.page_offset = 0xffff9b2340000000}, 0x3c000000, high_ram)},
        Case{"L4_ram_not_from_zero",
             machine_of({.page_offset = 0xffff9b2340000000}, 0, {{64 * mib, 32 * mib}})},
        // phys_base is "negative" when the image lies lower in RAM than in its window.
        Case{"L4_image_high_in_window", machine_of({}, 0x3a000000)},
        // ... and positive when it lies higher.
        Case{"L4_image_high_in_ram", machine_of({}, 0x200000, {{64 * gib, 32 * mib}})},
        Case{"L4_sme", machine_of({.sme_mask = c_bit_47})},
        Case{"L4_sme_51", machine_of({.sme_mask = c_bit_51})}, Case{"L5_no_kaslr", machine_of({.levels = 5})},
        Case{"L5_kaslr", machine_of({.levels = 5, .page_offset = 0xff15b979c0000000})},
        Case{"L5_high_ram", machine_of({.levels = 5, .page_offset = 0xff2813c7c0000000}, 0, high_ram)},
        Case{"L5_sme_high_ram",
             machine_of({.levels = 5, .page_offset = 0xff2813c7c0000000, .sme_mask = c_bit_51}, 0, high_ram)},
        Case{"L5_pages", {.block_mappings = false, .x86_64 = X86_64Options{.levels = 5}}}),
    [](const testing::TestParamInfo<Case>& tested) { return tested.param.name; });

TEST(X86_64Translate, MapsLargePages) {
  for (uint64_t size : {2 * mib, gib}) {
    DumpBuilder machine(machine_of({}));
    const VirtAddr va{align_up(machine.vmalloc_area().value + 4 * gib, size)};
    machine.map(va, {3 * size}, size, true);
    const Translation t = Opened(machine)(va + 0x12345);
    ASSERT_TRUE(t) << size;
    EXPECT_EQ(t.pa.value, 3 * size + 0x12345);
    EXPECT_EQ(t.contiguous, size - 0x12345);
  }
}

// Something lower than the linear map, as a hypervisor may place: it does not lead back to the root table.
TEST(X86_64Translate, ProvesWhereTheLinearMapStarts) {
  DumpBuilder machine(machine_of({.page_offset = 0xffff9b2340000000}));
  machine.map({0xffff810000000000}, {0}, 4096);
  Opened translate(machine);
  EXPECT_EQ(translate.translator->layout().page_offset, machine.page_offset());
  EXPECT_EQ(translate({0xffff810000000010}).pa.value, 0x10u);

  // Nothing does: then it is not known, and nothing is made up.
  DumpBuilder lost(machine_of({}));
  lost.unmap(lost.linear(lost.root_table()));
  EXPECT_EQ(Opened(lost).translator->layout().page_offset, 0u);
}

TEST(X86_64Translate, TakesTheRootTableUnderEachOfItsNames) {
  DumpBuilder machine(machine_of({}));
  machine.erase("SYMBOL(init_top_pgt)");
  machine.symbol("swapper_pg_dir", {machine.root_table().value + machine.image_offset()});
  EXPECT_TRUE(Opened(machine)(machine.stext()));
}

TEST(X86_64Translate, NamesTheKeyThatIsMissing) {
  for (std::string key : {"NUMBER(phys_base)", "SYMBOL(init_top_pgt)"}) {
    DumpBuilder machine(machine_of({}));
    machine.erase(key);
    try {
      Opened opened(machine);
      ADD_FAILURE() << key << " was not missed";
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), Errc::missing);
      EXPECT_NE(e.message().find(key), std::string::npos) << e.message();
    }
  }
  // Kernels before v4.17 have 4 levels and do not say so.
  DumpBuilder old(machine_of({}));
  for (std::string key : {"NUMBER(pgtable_l5_enabled)", "NUMBER(sme_mask)", "SYMBOL(_stext)"}) old.erase(key);
  EXPECT_TRUE(Opened(old)(old.stext()));
}

TEST(X86_64Translate, RefusesImpossibleGeometry) {
  const auto code_with = [](const std::string& key, std::string value,
                            uint32_t page_size) -> std::optional<Errc> {
    DumpBuilder machine(machine_of({}));
    if (!key.empty()) machine.set(key, std::move(value));
    MachineMemory memory(machine);
    try {
      x86_64().make_translator(Vmcoreinfo::parse(machine.vmcoreinfo()), page_size, memory);
    } catch (const Error& e) {
      return e.code();
    }
    return std::nullopt;
  };
  EXPECT_EQ(code_with("", "", 4096), std::nullopt);
  EXPECT_EQ(code_with("", "", 16384), Errc::unsupported);
  EXPECT_EQ(code_with("", "", 0), Errc::unsupported);
  EXPECT_EQ(code_with("NUMBER(sme_mask)", "3", 4096), Errc::format);
  EXPECT_EQ(code_with("NUMBER(sme_mask)", "-1", 4096), Errc::format);
  EXPECT_EQ(code_with("NUMBER(sme_mask)", "4503599627370496", 4096), Errc::format) << "bit 52";
  EXPECT_EQ(code_with("NUMBER(sme_mask)", "2251799813685248", 4096), std::nullopt) << "bit 51";
}

TEST(X86_64Translate, EndsOnHostileTables) {
  DumpBuilder machine(machine_of({.levels = 5}));
  // An entry of the root that points at the root, one far outside of RAM, one with the reserved large bit.
  const uint64_t root = machine.root_table().value;
  machine.put_phys_u64({root + 300 * 8}, root | 3);
  machine.put_phys_u64({root + 301 * 8}, 0x000f'0000'0000'0000 | 3);
  machine.put_phys_u64({root + 302 * 8}, root | 0x83);
  Opened translate(machine);
  const auto at = [](uint64_t index) { return VirtAddr{0xfe00000000000000 | index << 48}; };
  EXPECT_NE(translate(at(300)).status, Status::not_kernel);
  EXPECT_EQ(translate(at(301)).status, Status::table_unavailable);
  EXPECT_EQ(translate(at(302)).status, Status::unmapped);
  const uint64_t before = translate.memory.reads;
  uint64_t visits = 0;
  EXPECT_FALSE(translate.translator->walk_tables([&](const auto&) { return ++visits < 1'000'000; }));
  EXPECT_LT(visits, 20'000u);
  EXPECT_LT(translate.memory.reads - before, 200u);
}

TEST(X86_64Translate, NamesTheBitsOfAnEntry) {
  DumpBuilder machine(machine_of({}));
  const VirtAddr page = machine.vmalloc(1);
  const auto before = Opened(machine).translator->steps({}, page).back();
  machine.put_phys_u64(before.entry, before.to.value | 0x147 | uint64_t{1} << 63);
  const auto after = Opened(machine).translator->steps({}, page).back();
  const std::vector<std::string_view> expected = {"present",    "write", "user",
                                                  "no-execute", "dirty", "global"};
  EXPECT_EQ(expected, after.flags);
  EXPECT_EQ(before.to, after.to);
}

}  // namespace
}  // namespace kdk
