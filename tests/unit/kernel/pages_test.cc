// Every memory model and every way kernels mark pages, on struct pages built by tests/support/page_builder.
#include "core/kernel/pages.h"

#include <gtest/gtest.h>

#include "tests/support/page_builder.h"

namespace kdk {
namespace {

using test::DumpBuilder;
using test::MachineOptions;
using test::MemMapOptions;
using test::MemoryModel;
using test::PageBuilder;
using test::PageClass;
using test::PageEra;

constexpr uint64_t mib = uint64_t{1} << 20;

struct Opened {
  explicit Opened(const DumpBuilder& machine)
      : dump(machine.open()),
        memory(*dump),
        markers(read_page_markers(dump->vmcoreinfo())),
        map(memory, markers) {}
  std::unique_ptr<Dump> dump;
  KernelMemory memory;
  PageMarkers markers;
  MemMap map;
};

struct Case {
  std::string name;
  MachineOptions machine;
  MemMapOptions map;
  std::string model;
};
void PrintTo(const Case& c, std::ostream* out) {
  *out << c.name;
}

class EveryModel : public testing::TestWithParam<Case> {};

TEST_P(EveryModel, HandsOutEveryStructPageOnce) {
  DumpBuilder machine(GetParam().machine);
  PageBuilder pages(machine, GetParam().map);
  // A number in each struct page tells it from the others.
  for (const PfnRange& range : machine.ram()) {
    for (Pfn pfn = range.begin; pfn < range.end; pfn = pfn + 1) {
      machine.put_u64(pages.struct_page(pfn) + 16, pfn.value * 3 + 1);
    }
  }
  Opened opened(machine);
  EXPECT_EQ(opened.map.model(), GetParam().model);
  uint64_t total = 0;
  for (const PfnRange& range : machine.ram()) total += range.count();
  uint64_t covered = 0, seen = 0, runs = 0;
  for (const PfnRange& range : opened.map.present()) {
    covered += range.count();
    Pfn expected = range.begin;
    opened.map.for_each_run(range, [&](const MemMap::Run& run) {
      ++runs;
      EXPECT_EQ(run.first, expected);
      ASSERT_EQ(run.struct_pages.size(), run.count * 64);
      for (uint64_t i = 0; i < run.count; ++i) {
        ASSERT_EQ(*load<ul64>(run.struct_pages, i * 64 + 16), (run.first.value + i) * 3 + 1);
      }
      seen += run.count;
      expected = expected + run.count;
    });
  }
  EXPECT_EQ(covered, total);
  EXPECT_EQ(seen, total);
  EXPECT_LT(runs, total / 100) << "large runs";
  for (const PfnRange& range : machine.ram()) {
    EXPECT_EQ(opened.map.page_address(range.begin), pages.struct_page(range.begin));
    EXPECT_EQ(opened.map.page_address({range.end.value - 1}), pages.struct_page({range.end.value - 1}));
  }
  EXPECT_EQ(opened.map.page_address(machine.ram().back().end), std::nullopt);
}

TEST_P(EveryModel, KnowsItsOwnPages) {
  DumpBuilder machine(GetParam().machine);
  PageBuilder pages(machine, GetParam().map);
  Opened opened(machine);
  const std::vector<PfnRange> own = opened.map.own_pages();
  ASSERT_FALSE(own.empty());
  const std::vector<PfnRange> tables = opened.map.table_pages();
  const auto in = [&](const std::vector<PfnRange>& ranges, VirtAddr va) {
    const Pfn pfn = machine.pfn_of(machine.phys(va));
    return std::any_of(ranges.begin(), ranges.end(),
                       [&](const PfnRange& range) { return range.contains(pfn); });
  };
  const auto holds = [&](VirtAddr va) { return in(own, va); };
  for (const PfnRange& range : machine.ram()) {
    EXPECT_TRUE(holds(pages.struct_page(range.begin)));
    EXPECT_TRUE(holds(pages.struct_page({range.end.value - 1})));
    EXPECT_FALSE(in(tables, pages.struct_page({range.end.value - 1})));
  }
  if (GetParam().map.model != MemoryModel::flat) {
    const uint64_t section_bits = opened.dump->vmcoreinfo().require_number("SECTION_SIZE_BITS");
    const uint64_t nr = machine.options().ram.front().first >> section_bits;
    const bool extreme = GetParam().model == "sparsemem-extreme";
    const VirtAddr entry = pages.mem_section() + (extreme ? nr / (machine.page_size() / 16) * 8 : nr * 16);
    EXPECT_TRUE(holds(entry));
    EXPECT_TRUE(in(tables, entry));
  }
  for (size_t i = 1; i < own.size(); ++i) EXPECT_LT(own[i - 1].end, own[i].begin) << "sorted and merged";
  EXPECT_FALSE(holds(machine.stext())) << "not everything is its own";
}

MachineOptions sized(uint32_t page, unsigned used, unsigned build = 0) {
  MachineOptions o;
  o.page_size = page;
  o.va_bits = used;
  o.build_va_bits = build;
  return o;
}
MachineOptions with_banks(MachineOptions o) {
  // The second and third lie in other sections, the third in another root.
  o.ram = {{0x4000'0000, 32 * mib}, {0x5000'0000, 4 * mib}, {0x10'8000'0000, 6 * mib}};
  return o;
}
MachineOptions negative(MachineOptions o) {
  o.phys_offset = 0xfffff2c7c0000000;
  return o;
}
MemMapOptions modelled(MemoryModel model, bool export_vmemmap = true, uint64_t flags = 0) {
  MemMapOptions o;
  o.model = model;
  o.export_vmemmap = export_vmemmap;
  o.extra_section_flags = flags;
  return o;
}
constexpr MemoryModel extreme = MemoryModel::sparse_extreme, pointer = MemoryModel::sparse_extreme_pointer,
                      plain = MemoryModel::sparse, flat = MemoryModel::flat;

INSTANTIATE_TEST_SUITE_P(
    Models, EveryModel,
    testing::Values(
        Case{"4K", sized(4096, 48), {}, "sparsemem-extreme"},
        Case{"4K_banks", with_banks(sized(4096, 48)), {}, "sparsemem-extreme"},
        Case{"4K_lpa2", with_banks(sized(4096, 52)), {}, "sparsemem-extreme"},
        Case{"4K_48_on_52", with_banks(sized(4096, 48, 52)), {}, "sparsemem-extreme"},
        Case{"4K_negative", negative(sized(4096, 48)), {}, "sparsemem-extreme"},
        Case{"16K", with_banks(sized(16384, 47)), {}, "sparsemem-extreme"},
        Case{"16K_lpa2", sized(16384, 52), {}, "sparsemem-extreme"},
        Case{"64K", with_banks(sized(65536, 48)), {}, "sparsemem-extreme"},
        Case{"64K_48_on_52", sized(65536, 48, 52), {}, "sparsemem-extreme"},
        // Without SYMBOL(vmemmap) the section's pointer counts; bit 5 is a flag on some kernels, bit 6 may
        // become one.
        Case{"encoded", with_banks(sized(4096, 48)), modelled(extreme, false, 0x30), "sparsemem-extreme"},
        Case{"encoded_more_flags", sized(4096, 48), modelled(extreme, false, 0x70), "sparsemem-extreme"},
        Case{"pointer", with_banks(sized(4096, 48)), modelled(pointer), "sparsemem-extreme"},
        Case{"pointer_encoded", sized(4096, 48), modelled(pointer, false), "sparsemem-extreme"},
        Case{"plain", with_banks(sized(4096, 48)), modelled(plain), "sparsemem"},
        Case{"plain_encoded", sized(16384, 48), modelled(plain, false), "sparsemem"},
        Case{"flat", sized(4096, 48), modelled(flat), "flatmem"}),
    [](const testing::TestParamInfo<Case>& tested) { return tested.param.name; });

TEST(MemMap, ReportsUnreadableStructPagesAndGoesOn) {
  DumpBuilder machine;
  PageBuilder pages(machine);
  const Pfn first = machine.ram().front().begin;
  // One 4 KiB page holds 64 struct pages: those of PFNs 128 to 191 are lost.
  machine.exclude(machine.pfn_of(machine.phys(pages.struct_page(first + 128))));
  Opened opened(machine);
  uint64_t readable = 0, lost = 0;
  opened.map.for_each_run(machine.ram().front(), [&](const MemMap::Run& run) {
    if (run.struct_pages.empty()) {
      EXPECT_EQ(run.first, first + 128);
      lost += run.count;
    } else {
      readable += run.count;
    }
  });
  EXPECT_EQ(lost, 64u);
  EXPECT_EQ(readable, machine.ram().front().count() - 64);
}

TEST(MemMap, RangesOutsideAreOneUnreadableRun) {
  DumpBuilder machine;
  PageBuilder pages(machine);
  Opened opened(machine);
  const PfnRange ram = machine.ram().front();
  const MemMap::Run before = opened.map.next_run({0}, ram.end);
  EXPECT_EQ(before.count, ram.begin.value);
  EXPECT_TRUE(before.struct_pages.empty());
  const MemMap::Run after = opened.map.next_run(ram.end, ram.end + 1000);
  EXPECT_EQ(after.count, 1000u);
  EXPECT_TRUE(after.struct_pages.empty());
}

std::optional<Errc> open_error(const DumpBuilder& machine) {
  try {
    Opened opened(machine);
  } catch (const Error& e) {
    return e.code();
  }
  return std::nullopt;
}

TEST(MemMap, RefusesImpossibleSections) {
  for (auto [key, value] : {std::pair{"NUMBER(SECTION_SIZE_BITS)", "5"},
                            {"NUMBER(SECTION_SIZE_BITS)", "60"},
                            {"NUMBER(MAX_PHYSMEM_BITS)", "64"},
                            {"SIZE(mem_section)", "0"},
                            {"SIZE(mem_section)", "5000"},
                            {"OFFSET(mem_section.section_mem_map)", "16"}}) {
    DumpBuilder machine;
    PageBuilder pages(machine);
    EXPECT_EQ(open_error(machine), std::nullopt);
    machine.set(key, value);
    EXPECT_EQ(open_error(machine), Errc::format) << key << "=" << value;
  }
}

TEST(MemMap, MissingModelAndLostSectionsAreTold) {
  DumpBuilder machine;
  PageBuilder pages(machine);
  machine.symbol("mem_section", machine.module_area());
  EXPECT_EQ(open_error(machine), Errc::fault);
  machine.erase("SYMBOL(mem_section)");
  EXPECT_EQ(open_error(machine), Errc::missing);
}

struct EraCase {
  PageEra era;
  PageMarkers::OrderEncoding order;
  bool type_byte, hugetlb_type, slab_type;
};

class EveryEra : public testing::TestWithParam<EraCase> {};

TEST_P(EveryEra, MarkersAreFoundWhereTheKernelPutThem) {
  const EraCase& era = GetParam();
  DumpBuilder machine;
  MemMapOptions map_options;
  map_options.era = era.era;
  PageBuilder pages(machine, map_options);
  const Pfn base{align_up(machine.ram().front().begin.value, 512)};
  pages.set(base, 3, PageClass::buddy);
  pages.set(base + 16, 4, PageClass::hugetlb);
  pages.set(base + 32, 2, PageClass::slab);
  pages.set(base + 36, 0, PageClass::slab);
  Opened opened(machine);
  const PageMarkers& m = opened.markers;
  EXPECT_EQ(m.order_encoding, era.order);
  EXPECT_EQ(m.type_mask, era.type_byte ? 0xff000000u : 0xffffffffu);
  EXPECT_EQ(m.hugetlb.has_value(), era.hugetlb_type);
  EXPECT_EQ(m.slab.has_value(), era.slab_type);
  EXPECT_NE(m.slab_bit.has_value(), era.slab_type) << "a flag bit before, a type since";
  EXPECT_EQ(m.max_order, 11u);

  const auto bytes = [&](Pfn pfn) {
    std::vector<uint8_t> page(m.struct_size);
    opened.memory.require(*opened.map.page_address(pfn), page, "struct page");
    return page;
  };
  const auto word = [&](const std::vector<uint8_t>& page, uint64_t at) {
    return uint64_t{*load<ul64>(page, at)};
  };
  const auto has_type = [&](const std::vector<uint8_t>& page, std::optional<uint32_t> type) {
    return type && (*load<ul32>(page, m.mapcount) & m.type_mask) == (*type & m.type_mask);
  };
  EXPECT_TRUE(has_type(bytes(base), m.buddy));
  EXPECT_EQ(word(bytes(base), m.private_), 3u);
  EXPECT_FALSE(has_type(bytes(base + 1), m.buddy));
  EXPECT_FALSE(has_type(bytes(base + 40), m.buddy));

  const std::vector<uint8_t> head = bytes(base + 16), second = bytes(base + 17);
  EXPECT_NE(word(head, m.flags) & m.head_mask.value(), 0u);
  EXPECT_EQ(word(second, m.compound_head), opened.map.page_address(base + 16)->value | 1);
  switch (m.order_encoding) {
    case PageMarkers::OrderEncoding::u8_in_second_page:
      EXPECT_EQ(second[m.order_offset], 4);
      break;
    case PageMarkers::OrderEncoding::u16_in_second_page:
      EXPECT_EQ(*load<ul16>(second, m.order_offset), 4);
      break;
    default:
      EXPECT_EQ(word(second, m.order_offset) & 0xff, 4u);
      break;
  }
  if (era.hugetlb_type) {
    EXPECT_TRUE(has_type(head, m.hugetlb));
  } else if (m.hugetlb_bit) {
    EXPECT_NE(word(second, m.flags) & (uint64_t{1} << *m.hugetlb_bit), 0u);
  } else {
    ASSERT_TRUE(m.dtor_offset && m.hugetlb_dtor);
    EXPECT_EQ(second[*m.dtor_offset], *m.hugetlb_dtor);
  }
  for (Pfn slab : {base + 32, base + 36}) {
    const std::vector<uint8_t> page = bytes(slab);
    EXPECT_TRUE(era.slab_type ? has_type(page, m.slab) : ((word(page, m.flags) >> *m.slab_bit) & 1) != 0);
  }
}

using Order = PageMarkers::OrderEncoding;
INSTANTIATE_TEST_SUITE_P(
    Eras, EveryEra,
    testing::Values(EraCase{PageEra::v4_9, Order::u16_in_second_page, false, false, false},
                    EraCase{PageEra::v5_4, Order::u8_in_second_page, false, false, false},
                    EraCase{PageEra::v6_1, Order::u8_in_second_page, false, false, false},
                    EraCase{PageEra::v6_4, Order::u8_in_second_page, false, false, false},
                    EraCase{PageEra::v6_6, Order::low_byte_of_second_flags, false, false, false},
                    EraCase{PageEra::v6_9, Order::low_byte_of_second_flags, false, true, false},
                    EraCase{PageEra::v6_10, Order::low_byte_of_second_flags, false, true, true},
                    EraCase{PageEra::v6_12, Order::low_byte_of_second_flags, true, true, true},
                    EraCase{PageEra::v7_1, Order::low_byte_of_second_flags, true, true, true}));

TEST(PageMarkers, BeforeCompoundHeadFieldsTheDestructorIsAnAddress) {
  DumpBuilder machine;
  PageBuilder pages(machine, {.era = PageEra::v6_6});
  machine.symbol("free_huge_page", machine.stext() + 0x100);
  const PageMarkers m = read_page_markers(Vmcoreinfo::parse(machine.vmcoreinfo()));
  EXPECT_EQ(m.order_encoding, Order::lru_prev);
  EXPECT_EQ(m.order_offset, 16u);
  EXPECT_EQ(m.dtor_offset, 8u);
  EXPECT_EQ(m.hugetlb_dtor, machine.stext().value + 0x100);
}

TEST(PageMarkers, NamesTheKeyThatIsMissing) {
  for (std::string key :
       {"SIZE(page)", "OFFSET(page.flags)", "OFFSET(page._mapcount)", "OFFSET(page.mapping)",
        "OFFSET(page.private)", "OFFSET(page.compound_head)", "LENGTH(zone.free_area)"}) {
    DumpBuilder machine;
    PageBuilder pages(machine);
    machine.erase(key);
    try {
      read_page_markers(Vmcoreinfo::parse(machine.vmcoreinfo()));
      ADD_FAILURE() << key << " was not missed";
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), Errc::missing) << key;
      EXPECT_NE(e.message().find(key), std::string::npos) << e.message();
    }
  }
}

TEST(PageMarkers, RefusesOffsetsOutsideOfStructPage) {
  for (auto [key, value] : {std::pair{"SIZE(page)", "0"},
                            {"SIZE(page)", "99999999"},
                            {"OFFSET(page.flags)", "57"},
                            {"OFFSET(page._mapcount)", "61"},
                            {"OFFSET(page.mapping)", "18446744073709551615"},
                            {"LENGTH(zone.free_area)", "65"}}) {
    DumpBuilder machine;
    PageBuilder pages(machine);
    machine.set(key, value);
    EXPECT_THROW(read_page_markers(Vmcoreinfo::parse(machine.vmcoreinfo())), Error) << key << "=" << value;
  }
}

}  // namespace
}  // namespace kdk
