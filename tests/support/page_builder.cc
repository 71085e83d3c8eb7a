// Struct pages as kernels of one era store them. Flag numbers and offsets are those of arm64 kernels of that
// era where they moved in a way that matters to a reader; every one of them is exported, as the kernel does.
// Source: include/linux/mm_types.h and page-flags.h of the releases named in PageEra.
#include "tests/support/page_builder.h"

#include <fmt/format.h>

#include <set>
#include <stdexcept>

namespace kdk::test {
namespace {

constexpr uint64_t page_struct_size = 64;

struct Offsets {
  uint64_t flags = 0, compound_head = 8, lru = 8, mapping = 24, private_ = 40, mapcount = 48, refcount = 52;
};

struct Flags {
  unsigned lru, private_, swapcache, swapbacked, hwpoison, head;
};

Offsets offsets_of(PageEra era) {
  // Until v4.17 mapping and the counts stood before the lists.
  if (era == PageEra::v4_9) return {0, 32, 32, 8, 48, 24, 28};
  return {};
}

Flags flags_of(PageEra era) {
  if (era >= PageEra::v6_10) return {5, 14, 10, 17, 20, 6};
  return {5, 12, 10, 18, 21, 15};
}
constexpr unsigned slab_flag = 9;
constexpr unsigned hugetlb_flag = 8;  // in page[1].flags, v6.6 to v6.8
constexpr uint64_t hugetlb_destructor = 2;

// Values of the type word; 0 = the era has no such type.
struct Types {
  uint32_t buddy, offline, table, hugetlb, slab;
};
Types types_of(PageEra era) {
  constexpr auto inverted = [](uint32_t bit) { return ~bit; };
  switch (era) {
    case PageEra::v4_9:
      return {static_cast<uint32_t>(-128), 0, 0, 0, 0};
    case PageEra::v5_4:
      return {inverted(0x80), inverted(0x100), inverted(0x400), 0, 0};
    case PageEra::v6_1:
    case PageEra::v6_4:
    case PageEra::v6_6:
      return {inverted(0x80), inverted(0x100), inverted(0x200), 0, 0};
    case PageEra::v6_9:
      return {inverted(0x80), inverted(0x100), inverted(0x200), inverted(0x800), 0};
    case PageEra::v6_10:
      return {inverted(0x80), inverted(0x100), inverted(0x200), inverted(0x800), inverted(0x1000)};
    case PageEra::v6_12:
    case PageEra::v7_1:
      break;
  }
  return {0xf0u << 24, 0xf1u << 24, 0xf2u << 24, 0xf4u << 24, 0xf5u << 24};
}

// Where the compound order (and the destructor) are inside page[1]; nullopt = low byte of its flags.
struct CompoundFields {
  uint64_t dtor, order;
};
std::optional<CompoundFields> compound_fields(PageEra era) {
  if (era == PageEra::v4_9) return CompoundFields{40, 44};
  if (era <= PageEra::v6_4) return CompoundFields{16, 17};
  return std::nullopt;
}

bool is_sparse_extreme(MemoryModel model) {
  return model == MemoryModel::sparse_extreme || model == MemoryModel::sparse_extreme_pointer;
}

}  // namespace

PageBuilder::PageBuilder(DumpBuilder& machine, const MemMapOptions& options)
    : machine_(machine), options_(options) {
  const bool every_section = options_.model == MemoryModel::sparse;
  if (options_.section_size_bits == 0) options_.section_size_bits = every_section ? 30 : 27;
  if (options_.max_physmem_bits == 0) {
    options_.max_physmem_bits = every_section ? 40 : machine.options().build_va_bits == 52 ? 52 : 48;
  }
  // memstart_addr is signed, so a "negative" PHYS_OFFSET counts from below.
  const auto first_pfn = static_cast<int64_t>(machine.phys_offset()) >> machine.page_shift();
  vmemmap_ = machine.vmemmap_start() - static_cast<uint64_t>(first_pfn) * page_struct_size;
  map_struct_pages();
  put_keys();
  if (options_.model == MemoryModel::flat) {
    put_flat();
  } else {
    put_sections();
  }
  if (options_.struct_pages_at) return;
  for (const PfnRange& range : machine.ram()) {
    for (Pfn pfn = range.begin; pfn < range.end; pfn = pfn + 1) set(pfn, 0, PageClass::kernel);
  }
}

void PageBuilder::map_struct_pages() {
  const bool blocks = options_.vmemmap_blocks && machine_.page_size() == 4096;
  const uint64_t unit = blocks ? uint64_t{2} << 20 : machine_.page_size();
  std::set<uint64_t> units;
  for (const PfnRange& range : machine_.ram()) {
    const uint64_t last = struct_page(range.end).value - 1;
    for (uint64_t va = align_down(struct_page(range.begin).value, unit); va <= last; va += unit)
      units.insert(va);
  }
  for (uint64_t va : units) {
    if (options_.struct_pages_at) {
      machine_.map({va}, *options_.struct_pages_at + (va - *units.begin()), unit, blocks);
      continue;
    }
    PhysAddr pa = machine_.alloc_pages(1);
    while (pa.value % unit != 0) pa = machine_.alloc_pages(1);
    if (unit > machine_.page_size()) machine_.alloc_pages(unit / machine_.page_size() - 1);
    machine_.map({va}, pa, unit, blocks);
  }
}

VirtAddr PageBuilder::struct_page(Pfn pfn) const {
  return vmemmap_ + pfn.value * page_struct_size;
}

void PageBuilder::put_keys() {
  const PageEra era = options_.era;
  const Offsets at = offsets_of(era);
  const Flags flag = flags_of(era);
  machine_.size("page", page_struct_size);
  machine_.offset("page.flags", at.flags);
  machine_.offset("page._refcount", at.refcount);
  machine_.offset("page.mapping", at.mapping);
  machine_.offset("page.lru", at.lru);
  machine_.offset("page._mapcount", at.mapcount);
  machine_.offset("page.private", at.private_);
  machine_.offset(era == PageEra::v7_1 ? "page.compound_info" : "page.compound_head", at.compound_head);
  if (std::optional<CompoundFields> fields = compound_fields(era)) {
    if (era == PageEra::v6_4) {
      machine_.offset("folio._folio_dtor", page_struct_size + fields->dtor);
      machine_.offset("folio._folio_order", page_struct_size + fields->order);
    } else {
      machine_.offset("page.compound_dtor", fields->dtor);
      machine_.offset("page.compound_order", fields->order);
    }
    machine_.number("HUGETLB_PAGE_DTOR", hugetlb_destructor);
  }
  machine_.length("zone.free_area", 11);
  machine_.number("PG_lru", flag.lru);
  machine_.number("PG_private", flag.private_);
  machine_.number("PG_swapcache", flag.swapcache);
  machine_.number("PG_swapbacked", flag.swapbacked);
  machine_.number("PG_hwpoison", flag.hwpoison);
  machine_.number("PG_head_mask", int64_t{1} << flag.head);
  if (era < PageEra::v6_10) machine_.number("PG_slab", slab_flag);
  if (era == PageEra::v6_6) machine_.number("PG_hugetlb", hugetlb_flag);
  const auto type = [&](const char* name, uint32_t value) {
    // "%ld" of an int, as the kernel prints it.
    if (value != 0) machine_.number(fmt::format("PAGE_{}_MAPCOUNT_VALUE", name), static_cast<int32_t>(value));
  };
  const Types types = types_of(era);
  type("BUDDY", types.buddy);
  type("OFFLINE", types.offline);
  type("HUGETLB", types.hugetlb);
  type("SLAB", types.slab);
}

void PageBuilder::put_sections() {
  const unsigned section_shift = options_.section_size_bits - machine_.page_shift();
  const uint64_t sections = uint64_t{1} << (options_.max_physmem_bits - options_.section_size_bits);
  constexpr uint64_t entry_size = 16;
  const uint64_t per_root = is_sparse_extreme(options_.model) ? machine_.page_size() / entry_size : 1;
  const uint64_t roots = (sections + per_root - 1) / per_root;
  machine_.size("mem_section", entry_size);
  machine_.offset("mem_section.section_mem_map", 0);
  machine_.length("mem_section", roots);
  machine_.number("SECTION_SIZE_BITS", options_.section_size_bits);
  machine_.number("MAX_PHYSMEM_BITS", options_.max_physmem_bits);
  if (options_.export_vmemmap) machine_.symbol("vmemmap", vmemmap_);

  const bool extreme = is_sparse_extreme(options_.model);
  mem_section_ = extreme ? machine_.alloc(roots * 8, 64) : machine_.image_alloc(sections * entry_size, 64);
  // PRESENT, HAS_MEM_MAP, ONLINE, EARLY
  const uint64_t encoded = vmemmap_.value | 0xf | options_.extra_section_flags;
  std::map<uint64_t, VirtAddr> root_tables;
  for (const PfnRange& range : machine_.ram()) {
    for (uint64_t nr = range.begin.value >> section_shift; nr <= (range.end.value - 1) >> section_shift;
         ++nr) {
      if (nr >= sections) throw std::logic_error("synthetic machine: RAM beyond MAX_PHYSMEM_BITS");
      VirtAddr entry = mem_section_ + nr * entry_size;
      if (extreme) {
        auto [root, fresh] = root_tables.try_emplace(nr / per_root);
        if (fresh) {
          root->second = machine_.alloc(machine_.page_size(), machine_.page_size());
          machine_.put_u64(mem_section_ + nr / per_root * 8, root->second.value);
        }
        entry = root->second + nr % per_root * entry_size;
      }
      machine_.put_u64(entry, encoded);
    }
  }
  VirtAddr exported = mem_section_;
  if (options_.model == MemoryModel::sparse_extreme_pointer) {
    exported = machine_.image_alloc(8, 8);
    machine_.put_u64(exported, mem_section_.value);
  }
  machine_.symbol("mem_section", exported);
}

void PageBuilder::put_flat() {
  const std::vector<PfnRange> ram = machine_.ram();
  const VirtAddr node = machine_.image_alloc(64, 16);
  mem_section_ = struct_page(ram.front().begin);
  machine_.symbol("contig_page_data", node);
  machine_.size("pglist_data", 64);
  machine_.offset("pglist_data.node_mem_map", 0);
  machine_.offset("pglist_data.node_start_pfn", 8);
  machine_.offset("pglist_data.node_spanned_pages", 16);
  machine_.put_u64(node, mem_section_.value);
  machine_.put_u64(node + 8, ram.front().begin.value);
  machine_.put_u64(node + 16, ram.back().end.value - ram.front().begin.value);
}

void PageBuilder::set(Pfn first, unsigned order, PageClass page_class, bool compound) {
  const PageEra era = options_.era;
  const Offsets at = offsets_of(era);
  const Flags flag = flags_of(era);
  const Types types = types_of(era);
  const uint64_t count = uint64_t{1} << order;
  const auto bit = [](unsigned n) { return uint64_t{1} << n; };
  if (page_class == PageClass::hugetlb || (page_class == PageClass::slab && order > 0)) compound = true;

  uint64_t flags = 0, mapping = 0, private_word = 0;
  uint32_t type = 0xffffffff, refcount = 1;
  const uint64_t object = machine_.linear({machine_.options().ram.front().first}).value + 0x1000;
  switch (page_class) {
    case PageClass::kernel:
      break;
    case PageClass::buddy:
      type = types.buddy;
      private_word = order;
      refcount = 0;
      break;
    case PageClass::cache:
      flags = bit(flag.lru), mapping = object;
      break;
    case PageClass::cache_private:
      flags = bit(flag.lru) | bit(flag.private_), mapping = object;
      break;
    case PageClass::anon:
      flags = bit(flag.lru) | bit(flag.swapbacked), mapping = object | 1;
      break;
    case PageClass::swap_cache:
      flags = bit(flag.swapcache) | bit(flag.swapbacked), mapping = object;
      break;
    case PageClass::hugetlb:
      if (types.hugetlb != 0) type = types.hugetlb;
      break;
    case PageClass::slab:
      if (types.slab != 0) {
        type = types.slab;
      } else {
        flags = bit(slab_flag);
      }
      mapping = object | 1;  // slab lists overlap the word since v6.2: must not be taken for anon
      break;
    case PageClass::offline:
      if (types.offline == 0) throw std::logic_error("this era has no offline pages");
      type = types.offline;
      break;
    case PageClass::hwpoison:
      flags = bit(flag.hwpoison);
      break;
    case PageClass::table:
      if (types.table != 0) type = types.table;
      break;
  }
  if (compound && order > 0) flags |= bit(flag.head);

  for (uint64_t i = 0; i < count; ++i) {
    const VirtAddr page = struct_page(first + i);
    std::array<uint8_t, page_struct_size> zeros{};
    machine_.put(page, zeros);
    // Page classes that are not compound mark each page; only the first of a free block is marked.
    const bool marked = i == 0 || (!compound && page_class != PageClass::buddy);
    machine_.put_u64(page + at.flags, marked ? flags : 0);
    machine_.put_u64(page + at.mapping, marked ? mapping : 0);
    machine_.put_u64(page + at.private_, marked ? private_word : 0);
    machine_.put_u32(page + at.mapcount, marked ? type : 0xffffffff);
    machine_.put_u32(page + at.refcount, marked ? refcount : 0);
    if (compound && i > 0) machine_.put_u64(page + at.compound_head, struct_page(first).value | 1);
  }
  if (!compound || order == 0) return;
  const VirtAddr second = struct_page(first + 1);
  const bool destructor = page_class == PageClass::hugetlb;
  if (std::optional<CompoundFields> fields = compound_fields(era)) {
    if (era == PageEra::v4_9) {
      machine_.put_u32(second + fields->order, order);
      machine_.put_u32(second + fields->dtor, destructor ? hugetlb_destructor : 1);
    } else {
      machine_.put_u8(second + fields->order, static_cast<uint8_t>(order));
      machine_.put_u8(second + fields->dtor, destructor ? hugetlb_destructor : 1);
    }
  } else {
    const bool marked = era == PageEra::v6_6 && destructor;
    machine_.put_u64(second + at.flags, order | (marked ? bit(hugetlb_flag) : 0));
  }
}

}  // namespace kdk::test
