// The scan, the pins and the free-page check on synthetic machines of every era and page size.
#include "capture/filter/scan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

#include "capture/filter/cpu_lists.h"
#include "capture/filter/free_check.h"
#include "capture/filter/pins.h"
#include "tests/support/btf_builder.h"
#include "tests/support/overlay_dump.h"
#include "tests/support/page_builder.h"

namespace kdk {
namespace {

using test::DumpBuilder;
using test::MachineOptions;
using test::MemMapOptions;
using test::PageBuilder;
using test::PageEra;
using Marked = test::PageClass;

// A machine whose struct pages can be marked before it is opened.
struct Machine {
  explicit Machine(const MachineOptions& options = {}, const MemMapOptions& map_options = {})
      : builder(options), pages(builder, map_options) {
    // Room for the blocks marked below, aligned to the largest.
    const uint64_t page = options.page_size;
    base = builder.pfn_of({align_up(builder.alloc_pages(96).value, 32 * page)});
  }
  Pfn at(uint64_t n) const { return base + n; }

  Scan scan(unsigned level, const std::vector<PfnRange>* pinned = nullptr) {
    dump = builder.open();
    kernel = std::make_unique<Kernel>(*dump);
    markers = read_page_markers(kernel->vmcoreinfo());
    map = std::make_unique<MemMap>(kernel->memory(), markers);
    ScanRequest request;
    request.level = level;
    request.pinned = pinned;
    return scan_pages(kernel->memory(), *map, markers, dump->ram(), request);
  }

  DumpBuilder builder;
  PageBuilder pages;
  Pfn base;
  std::unique_ptr<Dump> dump;
  std::unique_ptr<Kernel> kernel;
  PageMarkers markers;
  std::unique_ptr<MemMap> map;
};

uint64_t kept_of(const Scan& scan, Pfn first, uint64_t count) {
  uint64_t kept = 0;
  for (uint64_t i = 0; i < count; ++i) kept += scan.keep.test(first + i) ? 1 : 0;
  return kept;
}

struct Case {
  PageEra era;
  uint32_t page_size;
  unsigned va_bits;
  unsigned x86_64_levels = 0;  // of page tables; 0: arm64
};

class EveryEra : public testing::TestWithParam<Case> {};

// One of everything; each level must take exactly the classes it names, and the counts must say so.
TEST_P(EveryEra, LevelsTakeTheirClasses) {
  MachineOptions options;
  options.page_size = GetParam().page_size;
  options.va_bits = GetParam().va_bits;
  if (GetParam().x86_64_levels != 0) options.x86_64 = test::X86_64Options{.levels = GetParam().x86_64_levels};
  MemMapOptions map_options;
  map_options.era = GetParam().era;
  Machine m(options, map_options);
  m.pages.set(m.at(0), 3, Marked::buddy);
  m.pages.set(m.at(8), 0, Marked::cache);
  m.pages.set(m.at(9), 0, Marked::cache_private);
  m.pages.set(m.at(10), 0, Marked::anon);
  m.pages.set(m.at(11), 0, Marked::swap_cache);
  m.pages.set(m.at(12), 0, Marked::offline);
  m.pages.set(m.at(13), 0, Marked::hwpoison);
  m.pages.set(m.at(14), 1, Marked::slab, true);
  m.pages.set(m.at(16), 4, Marked::hugetlb, true);
  m.pages.set(m.at(32), 2, Marked::cache, true);
  const struct {
    Pfn first;
    uint64_t count;
    unsigned any_of;
    bool always = false;
  } expected[] = {
      {m.at(0), 8, level_free},
      {m.at(8), 1, level_cache | level_cache_private},
      {m.at(9), 1, level_cache_private},
      {m.at(10), 1, level_user},
      {m.at(12), 1, 0, true},
      {m.at(13), 1, 0, true},
      {m.at(14), 2, 0},
      {m.at(16), 16, level_user},
      {m.at(32), 4, level_cache | level_cache_private},
  };
  for (unsigned level : {0u, 1u, 2u, 4u, 8u, 16u, 31u}) {
    const Scan scan = m.scan(level);
    ASSERT_TRUE(scan.complete);
    for (const auto& e : expected) {
      const bool gone = e.always || (level & e.any_of) != 0;
      EXPECT_EQ(kept_of(scan, e.first, e.count), gone ? 0 : e.count)
          << "level " << level << " pfn +" << e.first.value - m.base.value;
    }
    EXPECT_EQ(scan.kept(), scan.keep.count());
    uint64_t found = 0;
    for (const ClassCounts& counts : scan.classes) found += counts.found;
    EXPECT_EQ(found, scan.ram_pages);
    EXPECT_EQ(scan.of(PageClass::free).found, 8u);
    EXPECT_EQ(scan.of(PageClass::hugetlb).found, 16u);
    EXPECT_EQ(scan.of(PageClass::cache_private).found, 1u);
    EXPECT_EQ(scan.of(PageClass::poisoned).found, 1u);
    EXPECT_EQ(scan.of(PageClass::offline).found, 1u);
    EXPECT_EQ(scan.bad_orders + scan.broken_compounds + scan.orphan_tails, 0u);
  }
}

std::string case_name(const testing::TestParamInfo<Case>& info) {
  static const char* const eras[] = {"v4_9", "v5_4",  "v6_1",  "v6_4", "v6_6",
                                     "v6_9", "v6_10", "v6_12", "v7_1"};
  return std::string(eras[static_cast<size_t>(info.param.era)]) + "_" +
         std::to_string(info.param.page_size >> 10) + "K_" +
         (info.param.x86_64_levels == 0 ? std::to_string(info.param.va_bits)
                                        : "x86_64_" + std::to_string(info.param.x86_64_levels) + "level");
}

INSTANTIATE_TEST_SUITE_P(All, EveryEra,
                         testing::Values(Case{PageEra::v5_4, 4096, 48}, Case{PageEra::v6_1, 4096, 48},
                                         Case{PageEra::v6_4, 4096, 48}, Case{PageEra::v6_6, 4096, 48},
                                         Case{PageEra::v6_9, 4096, 48}, Case{PageEra::v6_10, 4096, 39},
                                         Case{PageEra::v6_12, 4096, 52}, Case{PageEra::v6_12, 16384, 47},
                                         Case{PageEra::v6_12, 65536, 52}, Case{PageEra::v7_1, 4096, 48},
                                         Case{PageEra::v5_4, 4096, 48, 4}, Case{PageEra::v6_1, 4096, 48, 4},
                                         Case{PageEra::v6_6, 4096, 48, 5}, Case{PageEra::v6_10, 4096, 48, 4},
                                         Case{PageEra::v6_12, 4096, 48, 4},
                                         Case{PageEra::v6_12, 4096, 48, 5}),
                         case_name);

// Memory that a confidential VM has not accepted: one marked page stands for a whole block of the highest
// order.
TEST(Scan, UnacceptedMemoryIsFreeInBlocks) {
  MachineOptions options;
  options.x86_64 = test::X86_64Options{};
  Machine m(options);
  m.builder.number("PAGE_UNACCEPTED_MAPCOUNT_VALUE", 0xf7000000);
  const uint64_t block = 1024;  // LENGTH(zone.free_area) is 11
  const Pfn first{align_down(m.builder.ram().back().end.value, block) - block};
  m.builder.put_u32(m.pages.struct_page(first) + 48, 0xf7000000);  // page_type
  for (unsigned level : {15u, 16u}) {
    const Scan scan = m.scan(level);
    EXPECT_EQ(scan.of(PageClass::unaccepted).found, block);
    EXPECT_EQ(kept_of(scan, first, block), level == 16 ? 0 : block);
    EXPECT_TRUE(scan.keep.test({first.value - 1}));
  }
}

TEST(Scan, APoisonedTailGoesAlone) {
  Machine m;
  m.pages.set(m.at(16), 3, Marked::slab, true);
  m.scan(0);  // for the markers
  m.builder.put_u64(m.pages.struct_page(m.at(19)) + m.markers.flags, uint64_t{1} << *m.markers.hwpoison);
  for (unsigned level : {0u, 31u}) {
    const Scan scan = m.scan(level);
    EXPECT_EQ(kept_of(scan, m.at(16), 8), 7u);
    EXPECT_FALSE(scan.keep.test(m.at(19)));
    EXPECT_EQ(scan.of(PageClass::poisoned).found, 1u);
  }
}

TEST(Scan, MisalignedAndImpossibleFreeBlocksAreKept) {
  Machine m;
  m.pages.set(m.at(0), 0, Marked::buddy);
  m.pages.set(m.at(1), 0, Marked::buddy);
  m.pages.set(m.at(2), 0, Marked::buddy);
  m.scan(31);
  m.builder.put_u64(m.pages.struct_page(m.at(1)) + m.markers.private_, 3);  // page 1 cannot head 8 pages
  m.builder.put_u64(m.pages.struct_page(m.at(2)) + m.markers.private_, 1 << 20);  // no such order
  const Scan scan = m.scan(31);
  EXPECT_FALSE(scan.keep.test(m.at(0)));
  EXPECT_TRUE(scan.keep.test(m.at(1)));
  EXPECT_TRUE(scan.keep.test(m.at(2)));
  EXPECT_EQ(scan.bad_orders, 2u);
}

TEST(Scan, ACompoundPageEndsWhereItsTailsEnd) {
  Machine m;
  m.pages.set(m.at(16), 3, Marked::hugetlb, true);
  m.pages.set(m.at(20), 0, Marked::kernel);  // torn down half-way when the machine crashed
  const Scan scan = m.scan(31);
  EXPECT_EQ(kept_of(scan, m.at(16), 4), 0u);
  EXPECT_TRUE(scan.keep.test(m.at(20)));
  EXPECT_EQ(kept_of(scan, m.at(20), 4), 4u);
  EXPECT_EQ(scan.broken_compounds, 1u);
  EXPECT_EQ(scan.orphan_tails, 3u);
}

TEST(Scan, PinnedPagesStayButPoisonNeverDoes) {
  Machine m;
  m.pages.set(m.at(0), 3, Marked::buddy);
  m.pages.set(m.at(8), 0, Marked::anon);
  m.pages.set(m.at(9), 0, Marked::hwpoison);
  const std::vector<PfnRange> pins = {{m.at(2), m.at(4)}, {m.at(7), m.at(10)}};
  const Scan scan = m.scan(31, &pins);
  EXPECT_EQ(kept_of(scan, m.at(0), 8), 3u);
  EXPECT_TRUE(scan.keep.test(m.at(2)) && scan.keep.test(m.at(3)) && scan.keep.test(m.at(7)));
  EXPECT_TRUE(scan.keep.test(m.at(8)));
  EXPECT_FALSE(scan.keep.test(m.at(9)));
  EXPECT_EQ(scan.pinned_conflicts, 4u);
  EXPECT_EQ(scan.kept(), scan.keep.count());
}

TEST(Scan, UnreadableStructPagesKeepTheirPages) {
  MemMapOptions map_options;
  map_options.vmemmap_blocks = false;
  Machine m({}, map_options);
  m.pages.set(m.at(0), 5, Marked::buddy);
  m.builder.exclude(m.builder.pfn_of(m.builder.phys(m.pages.struct_page(m.at(0)))));
  const Scan scan = m.scan(31);
  EXPECT_EQ(kept_of(scan, m.at(0), 32), 32u);
  EXPECT_GE(scan.of(PageClass::unknown).found, 32u);
  EXPECT_EQ(scan.kept(), scan.keep.count());
}

TEST(Scan, StopsWhenAsked) {
  Machine m;
  m.scan(31);
  const std::atomic<bool> stop = true;
  ScanRequest request;
  request.stop = &stop;
  EXPECT_FALSE(scan_pages(m.kernel->memory(), *m.map, m.markers, m.dump->ram(), request).complete);
}

TEST(Scan, KeepingEverythingKeepsEverything) {
  const Scan scan = keep_everything({{{16}, {20}}, {{100}, {200}}});
  EXPECT_EQ(scan.ram_pages, 104u);
  EXPECT_EQ(scan.kept(), 104u);
  EXPECT_EQ(scan.keep.count(), 104u);
  EXPECT_FALSE(scan.keep.test({50}));
}

class PinsOf : public testing::TestWithParam<unsigned> {};  // levels of x86-64 page tables; 0: arm64

TEST_P(PinsOf, WhatTheKernelMapsIsPinnedAndWhatItGaveBackIsNot) {
  constexpr uint64_t reserved = 1 << 13;
  MachineOptions options;
  if (GetParam() != 0) options.x86_64 = test::X86_64Options{.levels = GetParam()};
  Machine m(options);
  DumpBuilder& b = m.builder;
  const uint64_t page = b.page_size();
  const VirtAddr stack = b.vmalloc(4);
  const VirtAddr used = b.image_alloc(page, page), unmapped = b.image_alloc(page, page),
                 freed = b.image_alloc(page, page);
  const auto image_pfn = [&](VirtAddr va) { return b.pfn_of(b.image_phys(va)); };
  for (VirtAddr va : {b.stext(), used}) b.put_u64(m.pages.struct_page(image_pfn(va)), reserved);
  b.unmap(unmapped);
  b.put_u64(m.pages.struct_page(image_pfn(unmapped)), reserved);
  const Pfn plain = b.pfn_of(b.alloc_pages(1));
  m.scan(0);
  const Pins pins = find_pins(*m.kernel, *m.map, m.markers);
  const auto pinned = [&](Pfn pfn) {
    return std::ranges::any_of(pins.ranges, [&](const PfnRange& range) { return range.contains(pfn); });
  };
  for (uint64_t i = 0; i < 4; ++i) EXPECT_TRUE(pinned(b.pfn_of(b.phys(stack + i * page))));
  EXPECT_TRUE(pinned(image_pfn(b.stext())));
  EXPECT_TRUE(pinned(image_pfn(used)));
  EXPECT_TRUE(pinned(b.pfn_of(b.root_table())));
  EXPECT_TRUE(pinned(b.pfn_of(b.phys(m.pages.mem_section()))));
  EXPECT_TRUE(pinned(b.pfn_of(b.phys(m.pages.struct_page(m.at(0))))));
  EXPECT_FALSE(pinned(image_pfn(unmapped)));
  EXPECT_FALSE(pinned(image_pfn(freed)));
  EXPECT_FALSE(pinned(plain));
}

INSTANTIATE_TEST_SUITE_P(All, PinsOf, testing::Values(0u, 4u, 5u));

TEST(FreeCheck, ComparesWithinWhatCountersCanDrift) {
  using Result = FreeCheck::Result;
  EXPECT_EQ(compare_free_pages(1000, 1000, 0, true), Result::agrees);
  EXPECT_EQ(compare_free_pages(1100, 1000, 100, true), Result::agrees);
  EXPECT_EQ(compare_free_pages(1101, 1000, 100, true), Result::more_found);
  EXPECT_EQ(compare_free_pages(899, 1000, 100, true), Result::fewer_found);
  // With some zones unknown, a surplus proves nothing.
  EXPECT_EQ(compare_free_pages(1101, 1000, 100, false), Result::not_checked);
}

// A node with one zone, at the offsets VMCOREINFO names. Free lists are rings through struct page's lru.
struct Zone {
  static constexpr uint64_t free_area = 256, free_area_size = 104, vm_stat = 1536, orders = 11, lists = 6;

  Zone(Machine& machine, bool with_symbol) : m(machine) {
    DumpBuilder& b = m.builder;
    node = b.alloc(4096, 4096);
    b.offset("pglist_data.node_zones", 0);
    b.offset("pglist_data.nr_zones", 2048);
    b.size("zone", 1728);
    b.offset("zone.vm_stat", vm_stat);
    b.number("NR_FREE_PAGES", 0);
    b.offset("zone.free_area", free_area);
    b.size("free_area", free_area_size);
    b.offset("free_area.free_list", 0);
    b.length("free_area.free_list", lists);
    b.length("zone.free_area", orders);
    b.offset("list_head.next", 0);
    b.offset("list_head.prev", 8);
    b.put_u32(node + 2048, 1);
    if (with_symbol) b.symbol("contig_page_data", node);
    for (uint64_t order = 0; order < orders; ++order) {
      for (uint64_t list = 0; list < lists; ++list) b.put_list(head(order, list), {});
    }
  }
  VirtAddr head(uint64_t order, uint64_t list) const {
    return node + free_area + order * free_area_size + list * 16;
  }
  void link(Pfn pfn, uint64_t order, uint64_t list) {
    m.builder.put_list(head(order, list), {m.pages.struct_page(pfn) + 8});
  }
  void count(uint64_t pages) { m.builder.put_u64(node + vm_stat, pages); }

  Machine& m;
  VirtAddr node;
};

TEST(FreeCheck, CountsZonesByNode) {
  Machine m;
  Zone zone(m, true);
  m.pages.set(m.at(0), 5, Marked::buddy);
  zone.count(32);
  Scan scan = m.scan(31);
  FreeCheck check = check_free_pages(*m.kernel, *m.map, m.markers, scan);
  EXPECT_EQ(check.result, FreeCheck::Result::agrees) << check.detail;
  EXPECT_EQ(check.kernel_count, 32u);
  EXPECT_EQ(check.zones_source, "contig_page_data");
  zone.count(4000);
  scan = m.scan(31);
  EXPECT_EQ(check_free_pages(*m.kernel, *m.map, m.markers, scan).result, FreeCheck::Result::fewer_found);
}

TEST(FreeCheck, FindsTheZoneThroughAFreeListWithoutSymbols) {
  Machine m;
  Zone zone(m, false);
  m.pages.set(m.at(0), 5, Marked::buddy);
  zone.link(m.at(0), 5, 2);
  zone.count(32);
  const Scan scan = m.scan(31);
  const FreeCheck check = check_free_pages(*m.kernel, *m.map, m.markers, scan);
  EXPECT_EQ(check.result, FreeCheck::Result::agrees) << check.detail;
  EXPECT_EQ(check.zones_source, "free lists");
  EXPECT_EQ(check.zones, 1u);
}

TEST(FreeCheck, SaysWhyItWasNotDone) {
  Machine m;
  const Scan scan = m.scan(31);
  const FreeCheck check = check_free_pages(*m.kernel, *m.map, m.markers, scan);
  EXPECT_EQ(check.result, FreeCheck::Result::not_checked);
  EXPECT_FALSE(check.detail.empty());
}

// One zone whose lists of two CPUs hold blocks of order 0 and 1; the offsets are what VMCOREINFO and BTF say.
struct CpuListMachine {
  static constexpr uint64_t pageset = 1600, lists = 32, types = 3, list_count = 13, stride = 0x10000;

  explicit CpuListMachine(bool symbols, const MachineOptions& options = {})
      : m(options), zone(m, true), per_cpu(m.builder.alloc(3 * stride, stride)) {
    DumpBuilder& b = m.builder;
    test::BtfBuilder btf;
    const uint32_t u32 = btf.integer("int", 4), u64 = btf.integer("long", 8);
    const uint32_t list_head = btf.structure("list_head", 16, {{"next", u64, 0}, {"prev", u64, 64}});
    btf.structure("per_cpu_pages", lists + 16 * list_count,
                  {{"count", u32, 64}, {"lists", btf.array(list_head, list_count), lists * 8}});
    btf.structure("zone", 1728, {{"per_cpu_pageset", u64, pageset * 8}});
    btf.enumeration("migratetype", {{"MIGRATE_UNMOVABLE", 0}, {"MIGRATE_PCPTYPES", types}});
    const std::vector<uint8_t> bytes = btf.bytes();
    const VirtAddr at = b.image_alloc(bytes.size(), 8);
    b.put(at, bytes);
    b.symbol("__start_BTF", at);
    b.symbol("__stop_BTF", at + bytes.size());
    b.put_u64(zone.node + pageset, pointer);
    if (symbols) {
      const VirtAddr offsets = b.alloc(16), mask = b.alloc(8), cpus = b.alloc(4);
      for (unsigned cpu = 0; cpu < 2; ++cpu) b.put_u64(offsets + 8 * cpu, offset(cpu));
      b.put_u64(mask, 3);
      b.put_u32(cpus, 2);
      b.symbol("__per_cpu_offset", offsets);
      b.symbol("__cpu_possible_mask", mask);
      b.symbol("nr_cpu_ids", cpus);
    }
    for (unsigned cpu = 0; cpu < 2; ++cpu) {
      for (uint64_t list = 0; list < list_count; ++list) b.put_list(head(cpu, list), {});
    }
    // On the lists of CPU 0: two pages of order 0 and a block of order 1; of CPU 1: one page.
    put(0, 1, {m.at(3), m.at(9)}, 0);
    put(0, types + 2, {m.at(4)}, 1);
    count(0, 4);
    put(1, 0, {m.at(12)}, 0);
    count(1, 1);
    // Live pages that look the same to their struct page: the tail of a block that is not compound.
    free_page(m.at(13));
  }

  uint64_t offset(unsigned cpu) const { return per_cpu.value + cpu * stride - pointer / stride * stride; }
  VirtAddr pages(unsigned cpu) const { return {pointer + offset(cpu)}; }
  VirtAddr head(unsigned cpu, uint64_t list) const { return pages(cpu) + lists + 16 * list; }
  void count(unsigned cpu, uint32_t n) { m.builder.put_u32(pages(cpu) + 8, n); }
  void free_page(Pfn pfn) {
    const VirtAddr page = m.pages.struct_page(pfn);
    m.builder.put_u32(page + 48, 0xffffffff);  // _mapcount
    m.builder.put_u32(page + 52, 0);           // _refcount
  }
  void put(unsigned cpu, uint64_t list, const std::vector<Pfn>& blocks, unsigned order) {
    std::vector<VirtAddr> links;
    for (Pfn pfn : blocks) {
      for (uint64_t i = 0; i < uint64_t{1} << order; ++i) free_page(pfn + i);
      links.push_back(m.pages.struct_page(pfn) + 8);
    }
    m.builder.put_list(head(cpu, list), links);
  }
  CpuLists find(Scan& scan) {
    scan = m.scan(level_all);
    return find_cpu_lists(*m.kernel, *m.map, m.markers, scan);
  }

  // As Linux has them: a per-CPU pointer is an address in the kernel's own copy or, on x86-64, a small
  // number.
  static constexpr uint64_t pointer = 5 * stride + 0x140;
  Machine m;
  Zone zone;
  VirtAddr per_cpu;
};

TEST(CpuLists, FindsFreePagesOfEveryCpu) {
  for (bool x86_64 : {false, true}) {
    for (bool symbols : {true, false}) {
      MachineOptions options;
      if (x86_64) options.x86_64 = test::X86_64Options{};
      CpuListMachine machine(symbols, options);
      Scan scan;
      const CpuLists found = machine.find(scan);
      EXPECT_EQ(found.problem, "");
      EXPECT_EQ(found.pages, 5u) << "x86-64: " << x86_64 << ", symbols: " << symbols;
      EXPECT_EQ(found.refused, 0u);
      const uint64_t kernel = scan.of(PageClass::kernel).found;
      const std::vector<PfnRange> pinned = {{machine.m.at(9), machine.m.at(10)}};
      exclude_cpu_lists(found, level_all, pinned, scan);
      EXPECT_EQ(scan.of(PageClass::cpu_free).found, 4u);  // one is pinned
      EXPECT_EQ(scan.of(PageClass::cpu_free).excluded, 4u);
      EXPECT_EQ(scan.of(PageClass::kernel).found, kernel - 4);
      for (uint64_t n : {3, 4, 5, 12}) EXPECT_FALSE(scan.keep.test(machine.m.at(n))) << n;
      for (uint64_t n : {2, 6, 9, 11, 13}) EXPECT_TRUE(scan.keep.test(machine.m.at(n))) << n;
    }
  }
}

TEST(CpuLists, AreCountedButKeptBelowTheirLevel) {
  CpuListMachine machine(true);
  Scan scan;
  const CpuLists found = machine.find(scan);
  exclude_cpu_lists(found, level_zero, {}, scan);
  EXPECT_EQ(scan.of(PageClass::cpu_free).found, 5u);
  EXPECT_EQ(scan.of(PageClass::cpu_free).excluded, 0u);
  EXPECT_TRUE(scan.keep.test(machine.m.at(3)));
}

// Whatever contradicts itself keeps the pages of that CPU, and of that CPU only.
TEST(CpuLists, AreNotBelievedWhenTheyContradictThemselves) {
  struct Damage {
    const char* name;
    std::function<void(CpuListMachine&)> break_it;
  };
  const Damage cases[] = {
      {"count too high", [](CpuListMachine& c) { c.count(0, 5); }},
      {"count too low", [](CpuListMachine& c) { c.count(0, 3); }},
      {"page in use",
       [](CpuListMachine& c) { c.m.builder.put_u32(c.m.pages.struct_page(c.m.at(9)) + 52, 1); }},
      {"second page of a block in use",
       [](CpuListMachine& c) { c.m.builder.put_u32(c.m.pages.struct_page(c.m.at(5)) + 52, 1); }},
      {"mapped page",
       [](CpuListMachine& c) { c.m.builder.put_u64(c.m.pages.struct_page(c.m.at(3)) + 24, 8); }},
      {"block not aligned", [](CpuListMachine& c) { c.put(0, CpuListMachine::types + 2, {c.m.at(7)}, 1); }},
      {"broken link",
       [](CpuListMachine& c) { c.m.builder.put_u64(c.m.pages.struct_page(c.m.at(9)) + 16, 8); }},
      {"loop past the head",
       [](CpuListMachine& c) {
         const VirtAddr link = c.m.pages.struct_page(c.m.at(9)) + 8;
         c.m.builder.put_u64(link, link.value);
         c.m.builder.put_u64(link + 8, link.value);
       }},
      {"link to nowhere", [](CpuListMachine& c) { c.m.builder.put_u64(c.head(0, 1), 0xdead000000000100); }},
  };
  for (const Damage& test_case : cases) {
    CpuListMachine machine(true);
    test_case.break_it(machine);
    Scan scan;
    const CpuLists found = machine.find(scan);
    EXPECT_EQ(found.refused, 1u) << test_case.name;
    EXPECT_NE(found.problem, "") << test_case.name;
    EXPECT_EQ(found.pages, 1u) << test_case.name;
    ASSERT_EQ(found.blocks.size(), 1u) << test_case.name;
    EXPECT_EQ(found.blocks[0].begin, machine.m.at(12)) << test_case.name;
  }
}

// /proc/kcore: a list that was changed while it was walked is walked again, over what memory holds then.
TEST(CpuLists, OfARunningMachineAreWalkedUntilTheyAgree) {
  CpuListMachine machine(true);
  Scan scan;
  ASSERT_EQ(machine.find(scan).problem, "");
  const Dump& dump = *machine.m.dump;
  for (unsigned reads : {1, 2}) {
    test::OverlayDump changing(dump);
    // In between the count was lower by one.
    const Translation at = machine.m.kernel->memory().translate(machine.pages(0));
    ASSERT_EQ(at.status, Translation::Status::mapped);
    const Pfn pfn = machine.m.builder.pfn_of(at.pa);
    const std::unique_ptr<PageReader> reader = dump.reader();
    const PageView now = reader->page(pfn);
    std::vector<uint8_t> page(now.bytes.begin(), now.bytes.end());
    --page[machine.pages(0).value % page.size() + 8];
    changing.replace_for(reads, pfn, page);
    Kernel kernel(changing);
    const MemMap map(kernel.memory(), machine.m.markers);
    const CpuLists found = find_cpu_lists(kernel, map, machine.m.markers, scan);
    // What is wrong twice in the same way stays so.
    EXPECT_EQ(found.refused, reads == 1 ? 0u : 1u) << found.problem;
    EXPECT_EQ(found.pages, reads == 1 ? 5u : 1u);
  }
}

TEST(CpuLists, SayWhyTheyCannotBeFound) {
  Machine m;
  Zone zone(m, true);
  const Scan scan = m.scan(level_all);
  const CpuLists found = find_cpu_lists(*m.kernel, *m.map, m.markers, scan);
  EXPECT_EQ(found.problem, "the dump has no types (BTF)");
  EXPECT_TRUE(found.blocks.empty());
}

}  // namespace
}  // namespace kdk
