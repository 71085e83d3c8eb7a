// Every arm64 address layout on a synthetic machine whose page tables tests/support encodes on its own.
#include <gtest/gtest.h>

#include <map>

#include "core/arch/arch.h"
#include "core/arch/table_walk.h"
#include "tests/support/dump_builder.h"
#include "tests/unit/arch/opened_machine.h"

namespace kdk {
namespace {

using test::DumpBuilder;
using test::MachineMemory;
using test::MachineOptions;
using test::Opened;
using Status = Translation::Status;

constexpr uint64_t mib = uint64_t{1} << 20;
constexpr uint64_t gib = uint64_t{1} << 30;

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
  Opened translate(machine);

  for (auto [base, bytes] : machine.options().ram) {
    for (uint64_t at : {uint64_t{0}, uint64_t{0x1238}, 2 * mib + 8, bytes - 8}) {
      const Translation t = translate(machine.linear({base + at}));
      ASSERT_TRUE(t) << std::hex << machine.linear({base + at}).value;
      EXPECT_EQ(t.pa.value, base + at);
      EXPECT_GE(t.contiguous, 8u);
      // All of `contiguous` really is: its last byte translates to where it should.
      EXPECT_EQ(translate(machine.linear({base + at}) + (t.contiguous - 1)).pa.value,
                t.pa.value + t.contiguous - 1);
    }
  }
  for (VirtAddr va : {machine.text(), machine.stext(), machine.image_end() - 8}) {
    EXPECT_EQ(translate(va).pa, machine.image_phys(va)) << std::hex << va.value;
  }
  for (uint64_t at :
       {uint64_t{0}, uint64_t{machine.page_size()} - 8, uint64_t{machine.page_size()} * 2 + 16}) {
    const Translation t = translate(stack + at);
    ASSERT_TRUE(t);
    EXPECT_EQ(t.pa, machine.phys(stack + at));
    EXPECT_EQ(t.contiguous, machine.page_size() - at % machine.page_size());
  }
  EXPECT_EQ(translate(stack - 8).status, Status::unmapped) << "guard page below";
  EXPECT_EQ(translate(stack + 3 * machine.page_size()).status, Status::unmapped) << "guard page above";
}

TEST_P(EveryLayout, DescribesItself) {
  DumpBuilder machine(GetParam().options);
  const VaLayout layout = Opened(machine).translator->layout();
  EXPECT_EQ(layout.va_bits, machine.options().va_bits);
  EXPECT_EQ(layout.page_shift, machine.page_shift());
  EXPECT_EQ(layout.page_offset, machine.page_offset());
  EXPECT_EQ(layout.phys_offset, machine.phys_offset());
  EXPECT_EQ(layout.image_offset, machine.image_offset());
  EXPECT_EQ(layout.kernel_start, ~uint64_t{0} << machine.options().va_bits);
  EXPECT_EQ(layout.pa_bits, machine.page_shift() == 16 || machine.options().va_bits == 52 ? 52u : 48u);
}

TEST_P(EveryLayout, RefusesWhatIsNotKernelSpace) {
  DumpBuilder machine(GetParam().options);
  Opened translate(machine);
  const uint64_t start = ~uint64_t{0} << machine.options().va_bits;
  for (uint64_t va : {uint64_t{0}, uint64_t{0x400000}, uint64_t{0x0000ffffffffffff}, start - 8,
                      uint64_t{0xdead000000000100}}) {
    EXPECT_EQ(translate({va}).status, Status::not_kernel) << std::hex << va;
  }
}

TEST_P(EveryLayout, WorksWithoutTheLowerTables) {
  DumpBuilder machine(GetParam().options);
  const VirtAddr data = machine.alloc(64), stack = machine.vmalloc(1);
  machine.symbol("clear_seq", machine.image_end() - 64);
  // Every table page but the root is gone, as if a filter had taken them.
  std::set<uint64_t> tables;
  Opened(machine).translator->walk_tables([&](const Translator::TableEntry& entry) {
    if (entry.table && entry.pa != machine.root_table()) tables.insert(machine.pfn_of(entry.pa).value);
    return true;
  });
  for (uint64_t pfn : tables) machine.exclude({pfn});
  Opened translate(machine);
  EXPECT_EQ(translate(machine.stext()).pa, machine.image_phys(machine.stext()));
  EXPECT_EQ(translate(machine.image_end() - 8).pa, machine.image_phys(machine.image_end() - 8));
  EXPECT_EQ(translate(data).pa, machine.phys(data));
  EXPECT_EQ(translate(stack).status, Status::table_unavailable) << "vmalloc space has no arithmetic";
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
  std::map<uint64_t, Translator::TableEntry> leaves;
  uint64_t tables = 0, last = 0;
  EXPECT_TRUE(opened.translator->walk_tables([&](const Translator::TableEntry& entry) {
    EXPECT_GE(entry.va.value, last) << "address order";
    last = entry.va.value;
    if (entry.table) {
      ++tables;
    } else {
      leaves.emplace(entry.va.value, entry);
    }
    return true;
  }));
  EXPECT_GE(tables, 3u);
  uint64_t linear = 0, image = 0, vmalloc = 0;
  for (const auto& [va, entry] : leaves) {
    EXPECT_EQ(opened({va}).pa, entry.pa);
    if (va - machine.text().value < machine.options().image_size) image += entry.size;
    if (va - stack.value < 2 * machine.page_size()) vmalloc += entry.size;
    if (entry.va == machine.linear(entry.pa)) linear += entry.size;
  }
  uint64_t ram = 0;
  for (auto [base, bytes] : machine.options().ram) ram += bytes;
  EXPECT_EQ(linear, ram);
  EXPECT_EQ(image, machine.options().image_size);
  EXPECT_EQ(vmalloc, 2 * machine.page_size());
}

MachineOptions sized(uint32_t page, unsigned used, unsigned build = 0) {
  MachineOptions o;
  o.page_size = page;
  o.va_bits = used;
  o.build_va_bits = build;
  return o;
}
MachineOptions with(MachineOptions o, void (*change)(MachineOptions&)) {
  change(o);
  return o;
}
void old_layout(MachineOptions& o) {
  o.flipped = false;
}
void pages_only(MachineOptions& o) {
  o.block_mappings = false;
}
void unbiased(MachineOptions& o) {
  o.biased_phys_offset = false;
}
// The linear map randomised: PHYS_OFFSET below zero (seen in the wild as fffff2c7c0000000).
void negative_phys_offset(MachineOptions& o) {
  o.phys_offset = 0xfffff2c7c0000000;
}
// RAM whose physical addresses need bits that only LPA and LPA2 have, 1 GiB aligned so that every block size
// occurs.
void high_ram(MachineOptions& o) {
  o.ram = {
      {0x000c'0000'4000'0000, 16 * mib}, {0x000c'00c0'8000'0000, 1 * gib}, {0x000f'0001'0000'0000, 4 * mib}};
  if (o.page_size == 65536) o.ram[0].second = 32 * mib;
}
// Bits 47 and 46: the highest of a 48-bit physical address.
void high_48(MachineOptions& o) {
  o.ram = {{0x0000'c000'4000'0000, (o.page_size == 65536 ? 32 : 16) * mib}};
}

INSTANTIATE_TEST_SUITE_P(
    Arm64, EveryLayout,
    testing::Values(Case{"4K_39", sized(4096, 39)}, Case{"4K_48", sized(4096, 48)},
                    Case{"4K_52", sized(4096, 52)}, Case{"4K_48_on_52", sized(4096, 48, 52)},
                    Case{"16K_36", sized(16384, 36)}, Case{"16K_47", sized(16384, 47)},
                    Case{"16K_48", sized(16384, 48)}, Case{"16K_52", sized(16384, 52)},
                    Case{"16K_47_on_52", sized(16384, 47, 52)}, Case{"64K_42", sized(65536, 42)},
                    Case{"64K_48", sized(65536, 48)}, Case{"64K_52", sized(65536, 52)},
                    Case{"64K_48_on_52", sized(65536, 48, 52)},
                    Case{"4K_39_old", with(sized(4096, 39), old_layout)},
                    Case{"4K_48_old", with(sized(4096, 48), old_layout)},
                    Case{"16K_36_old", with(sized(16384, 36), old_layout)},
                    Case{"16K_47_old", with(sized(16384, 47), old_layout)},
                    Case{"64K_42_old", with(sized(65536, 42), old_layout)},
                    Case{"64K_48_old", with(sized(65536, 48), old_layout)},
                    Case{"64K_48_on_52_unbiased", with(sized(65536, 48, 52), unbiased)},
                    Case{"4K_48_pages", with(sized(4096, 48), pages_only)},
                    Case{"16K_52_pages", with(sized(16384, 52), pages_only)},
                    Case{"4K_48_negative", with(sized(4096, 48), negative_phys_offset)},
                    Case{"64K_48_negative", with(sized(65536, 48), negative_phys_offset)},
                    Case{"4K_48_high", with(sized(4096, 48), high_48)},
                    Case{"16K_48_high", with(sized(16384, 48), high_48)},
                    Case{"64K_48_high", with(sized(65536, 48), high_48)},
                    Case{"4K_52_lpa2_high", with(sized(4096, 52), high_ram)},
                    Case{"16K_52_lpa2_high", with(sized(16384, 52), high_ram)},
                    Case{"64K_52_lpa_high", with(sized(65536, 52), high_ram)},
                    Case{"64K_48_on_52_lpa_high", with(sized(65536, 48, 52), high_48)}),
    [](const testing::TestParamInfo<Case>& tested) { return tested.param.name; });

TEST(Arm64Translate, MapsBlocksOfEverySize) {
  struct Block {
    uint32_t page;
    unsigned va_bits;
    uint64_t size;
  };
  for (Block b : {Block{4096, 48, 2 * mib}, Block{4096, 48, gib}, Block{4096, 52, 512 * gib},
                  Block{16384, 48, 32 * mib}, Block{16384, 52, 64 * gib}, Block{65536, 48, 512 * mib},
                  Block{65536, 52, 4096 * gib}}) {
    DumpBuilder machine({.page_size = b.page, .va_bits = b.va_bits});
    const VirtAddr va{align_up(machine.module_area().value + 4 * gib, b.size)};
    const PhysAddr pa{3 * b.size};
    machine.map(va, pa, b.size, true);
    Opened translate(machine);
    const Translation t = translate(va + 0x12345);
    ASSERT_TRUE(t) << b.size;
    EXPECT_EQ(t.pa.value, pa.value + 0x12345);
    EXPECT_EQ(t.contiguous, b.size - 0x12345);
  }
}

TEST(Arm64Translate, AcceptsTheLowerCaseKeyAndDoesWithoutIt) {
  DumpBuilder machine({.va_bits = 48, .build_va_bits = 52});
  machine.erase("NUMBER(TCR_EL1_T1SZ)");
  machine.number_hex("tcr_el1_t1sz", 16);
  EXPECT_EQ(Opened(machine).translator->layout().va_bits, 48u);

  // v5.4 to v5.8: 64K pages, VA_BITS=52, no T1SZ. An early linear-map allocation tells.
  for (unsigned used : {48u, 52u}) {
    DumpBuilder old({.page_size = 65536, .va_bits = used, .build_va_bits = 52, .biased_phys_offset = false});
    old.erase("NUMBER(TCR_EL1_T1SZ)");
    const VirtAddr data = old.alloc(16);
    old.symbol("mem_section", data);
    Opened translate(old);
    EXPECT_EQ(translate.translator->layout().va_bits, used);
    EXPECT_EQ(translate(data).pa, old.phys(data));
    EXPECT_EQ(translate.translator->layout().page_offset, old.page_offset());
  }
}

TEST(Arm64Translate, NamesTheKeyThatIsMissing) {
  for (std::string key : {"NUMBER(kimage_voffset)", "SYMBOL(swapper_pg_dir)", "NUMBER(VA_BITS)"}) {
    DumpBuilder machine;
    machine.erase(key);
    machine.erase("NUMBER(TCR_EL1_T1SZ)");
    try {
      Opened opened(machine);
      ADD_FAILURE() << key << " was not missed";
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), Errc::missing);
      EXPECT_NE(e.message().find(key), std::string::npos) << e.message();
    }
  }
}

TEST(Arm64Translate, RefusesImpossibleGeometry) {
  const auto code_with = [](const std::string& key, std::string value,
                            uint32_t page_size) -> std::optional<Errc> {
    DumpBuilder machine;
    if (!key.empty()) machine.set(key, std::move(value));
    MachineMemory memory(machine);
    try {
      arm64().make_translator(Vmcoreinfo::parse(machine.vmcoreinfo()), page_size, memory);
    } catch (const Error& e) {
      return e.code();
    }
    return std::nullopt;
  };
  EXPECT_EQ(code_with("", "", 4096), std::nullopt);
  EXPECT_EQ(code_with("", "", 8192), Errc::unsupported);
  EXPECT_EQ(code_with("", "", 0), Errc::unsupported);
  EXPECT_EQ(code_with("NUMBER(VA_BITS)", "99", 4096), Errc::format);
  EXPECT_EQ(code_with("NUMBER(VA_BITS)", "-1", 4096), Errc::format);
  EXPECT_EQ(code_with("NUMBER(TCR_EL1_T1SZ)", "0x3f", 4096), Errc::format);
  EXPECT_EQ(code_with("NUMBER(TCR_EL1_T1SZ)", "0xc", 4096), Errc::format) << "52 in use on a build for 48";
}

TEST(Arm64Translate, EndsOnHostileTables) {
  DumpBuilder machine;
  const VirtAddr victim = machine.module_area();
  // The root entry for `victim` points at the root: each level reads the root again.
  const uint64_t index = (victim.value >> 39) & 511;
  machine.put_phys_u64(machine.root_table() + index * 8, machine.root_table().value | 3);
  // Another one points far outside of RAM.
  machine.put_phys_u64(machine.root_table() + 448 * 8, 0x0000'0f00'0000'0000 | 3);
  Opened translate(machine);
  translate(victim);
  EXPECT_EQ(translate({0xffffe00000000000}).status, Status::table_unavailable);
  const uint64_t before = translate.memory.reads;
  uint64_t visits = 0;
  EXPECT_FALSE(translate.translator->walk_tables([&](const auto&) { return ++visits < 1'000'000; }));
  EXPECT_LT(visits, 20'000u);
  EXPECT_LT(translate.memory.reads - before, 200u);
}

TEST(Arm64Translate, ReservedDescriptorsAreUnmapped) {
  DumpBuilder machine({.page_size = 16384, .va_bits = 48});
  const VirtAddr va{align_up(machine.module_area().value + 8 * gib, 64 * gib)};
  machine.map(va, {gib}, 32 * mib, true);
  Opened before(machine);
  EXPECT_TRUE(before(va));
  // A level-1 block is reserved with 16K pages outside of LPA2.
  const uint64_t root_index = (va.value >> 47) & 1;
  const PhysAddr level1{machine.phys_u64(machine.root_table() + root_index * 8) & 0x0000'ffff'ffff'c000};
  machine.put_phys_u64(level1 + ((va.value >> 36) & 2047) * 8, gib | 1);
  EXPECT_EQ(Opened(machine)(va).status, Status::unmapped);
  // A last-level entry without the page bit is reserved.
  const VirtAddr page = machine.vmalloc(1);
  EXPECT_TRUE(Opened(machine)(page));
  machine.unmap(page);
  EXPECT_EQ(Opened(machine)(page).status, Status::unmapped);
}

TEST(Arm64Translate, SignedAndTaggedAddressesAreStripped) {
  DumpBuilder machine({.pac_mask = 0xffff000000000000});
  Opened translate(machine);
  const VirtAddr va = machine.stext();
  EXPECT_EQ(translate({(va.value & 0x0000ffffffffffff) | 0x12b4000000000000}).pa, machine.image_phys(va));
  EXPECT_EQ(translate({0xdead000000000100}).status, Status::not_kernel)
      << "list poison is not a signed pointer";
}

TEST(Arm64Translate, NamesTheBitsOfAnEntry) {
  DumpBuilder machine({.page_size = 4096, .va_bits = 48});
  const VirtAddr page = machine.vmalloc(1);
  const auto before = Opened(machine).translator->steps({}, page).back();
  // User read-only (AP 0b11), accessed, PXN and UXN, MAIR index 4, special.
  const uint64_t raw = (before.raw & bit_range(47, 12)) | 3 | 4 << 2 | 3 << 6 | 1 << 10 | uint64_t{3} << 53 |
                       uint64_t{1} << 56;
  machine.put_phys_u64(before.entry, raw);
  const auto after = Opened(machine).translator->steps({}, page).back();
  const std::vector<std::string_view> expected = {"user", "read-only", "accessed", "pxn",
                                                  "uxn",  "special",   "attr-4"};
  EXPECT_EQ(expected, after.flags);
}

}  // namespace
}  // namespace kdk
