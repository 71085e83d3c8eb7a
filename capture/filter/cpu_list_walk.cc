#include "capture/filter/cpu_list_walk.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

namespace kdk {
namespace {

constexpr uint64_t list_head_size = 16;
// The CPU's high mark is a few thousand pages; a walk this long has met a loop.
constexpr uint64_t max_entries = 1 << 20;
constexpr uint64_t max_lists = 64;
// PAGE_ALLOC_COSTLY_ORDER (include/linux/mmzone.h): one list for each migrate type up to this order; what
// further lists there are hold huge pages.
constexpr unsigned costly_order = 3;

}  // namespace

VirtAddr CpuListLayout::list(VirtAddr pages, uint64_t index) const {
  return pages + lists + index * list_head_size;
}

unsigned CpuListLayout::order(uint64_t list) const {
  // Linux commit 44042b449872 ("mm/page_alloc: allow high-order pages to be stored on the per-cpu lists") (in
  // v5.14); before it there is one list for each migrate type.
  const uint64_t order = list / migrate_types;
  return order > costly_order ? huge_order : static_cast<unsigned>(order);
}

std::optional<CpuListLayout> cpu_list_layout(Kernel& kernel, const ZoneLayout& zone, std::string& problem) {
  Layout& types = kernel.layout();
  // Linux commit 28f836b6777b ("mm/page_alloc: split per cpu page lists and zone stats") (in v5.14) made
  // struct per_cpu_pages the whole of the per-CPU part; before, it was inside struct per_cpu_pageset.
  std::optional<uint64_t> pageset = types.offset("zone", "per_cpu_pageset");
  uint64_t inner = 0;
  if (!pageset) {
    pageset = types.offset("zone", "pageset");
    inner = types.offset("per_cpu_pageset", "pcp").value_or(0);
  }
  const std::optional<uint64_t> count = types.offset("per_cpu_pages", "count"),
                                lists = types.offset("per_cpu_pages", "lists"),
                                length = types.array_length("per_cpu_pages", "lists");
  const std::optional<int64_t> migrate_types = types.enumerator("MIGRATE_PCPTYPES");
  if (!pageset || !count || !lists || !length || !migrate_types) {
    problem =
        types.has_types() ? "the kernel's types have no zone.per_cpu_pageset" : "the dump has no types (BTF)";
    return std::nullopt;
  }
  if (*migrate_types < 1 || *length < 1 || *length > max_lists) {
    problem = fmt::format("{} lists of {} migrate types cannot be", *length, *migrate_types);
    return std::nullopt;
  }
  CpuListLayout layout;
  layout.pageset = *pageset;
  layout.count = inner + *count;
  layout.lists = inner + *lists;
  layout.list_count = *length;
  layout.migrate_types = static_cast<uint64_t>(*migrate_types);
  // HPAGE_PMD_ORDER: one table of 8-byte entries maps as many pages.
  layout.huge_order = static_cast<unsigned>(std::bit_width(kernel.memory().page_size() / 8) - 1);
  layout.lru = zone.lru;
  layout.next = zone.next;
  layout.prev = zone.prev;
  return layout;
}

CpuListWalk::CpuListWalk(KernelMemory& memory, const MemMap& map, const PageMarkers& markers,
                         const CpuListLayout& layout, const std::vector<PfnRange>& ram)
    : memory_(memory), map_(map), markers_(markers), layout_(layout), ram_(ram) {
  page_.resize(markers.struct_size);
  if (ram.empty()) return;
  first_ = ram.front().begin;
  first_address_ = map.page_address(first_);
}

std::optional<std::vector<PfnRange>> CpuListWalk::blocks(VirtAddr pages) {
  blocks_.clear();
  const std::optional<uint32_t> count = memory_.u32(pages + layout_.count);
  if (!count) return refuse("cannot be read");
  uint64_t found = 0;
  for (uint64_t list = 0; list < layout_.list_count; ++list) {
    const size_t before = blocks_.size();
    if (!walk(layout_.list(pages, list), layout_.order(list), *count)) return std::nullopt;
    found += (blocks_.size() - before) << layout_.order(list);
  }
  if (found != *count) return refuse(fmt::format("hold {} pages, but count {}", found, *count));
  return blocks_;
}

std::nullopt_t CpuListWalk::refuse(std::string why) {
  problem_ = std::move(why);
  return std::nullopt;
}

bool CpuListWalk::walk(VirtAddr head, unsigned order, uint64_t most) {
  VirtAddr before = head;
  bool good = true;
  const auto linked_back = [&](VirtAddr link) {
    if (memory_.u64(link + layout_.prev) == before.value) return true;
    refuse(fmt::format("have a broken link at {:#x}", before.value));
    return false;
  };
  const auto visit = [&](VirtAddr link) {
    if (!(good = linked_back(link))) return false;
    const std::optional<Pfn> pfn = page_of_link(link);
    if (!pfn || !free_block(*pfn, order)) {
      refuse(fmt::format("link {:#x}, which is no free page of order {}", link.value, order));
      return good = false;
    }
    blocks_.push_back({*pfn, *pfn + (uint64_t{1} << order)});
    before = link;
    return true;
  };
  const WalkEnd end = walk_list(memory_, head, std::min(most, max_entries), visit);
  if (!good) return false;
  if (end == WalkEnd::complete) return linked_back(head);
  refuse(end == WalkEnd::limit ? "are longer than they count"
                               : fmt::format("end at {:#x}: {}", before.value, to_string(end)));
  return false;
}

// Struct pages that lie in one array (vmemmap, flat mem_map), which the map confirms.
std::optional<Pfn> CpuListWalk::page_of_link(VirtAddr link) const {
  const uint64_t page = link.value - layout_.lru;
  if (!first_address_ || page < first_address_->value) return std::nullopt;
  const uint64_t distance = page - first_address_->value;
  const Pfn pfn = first_ + distance / markers_.struct_size;
  if (distance % markers_.struct_size != 0 || !in_ram(pfn) || map_.page_address(pfn) != VirtAddr{page})
    return std::nullopt;
  return pfn;
}

std::optional<VirtAddr> CpuListWalk::link_of_page(Pfn pfn) const {
  const std::optional<VirtAddr> page = map_.page_address(pfn);
  return page ? std::optional(*page + layout_.lru) : std::nullopt;
}

bool CpuListWalk::free_block(Pfn first, unsigned order) {
  const uint64_t pages = uint64_t{1} << order;
  if (first.value % pages != 0) return false;
  for (uint64_t i = 0; i < pages; ++i) {
    if (!in_ram(first + i) || !looks_free(first + i)) return false;
  }
  return true;
}

bool CpuListWalk::in_ram(Pfn pfn) const {
  const auto after = std::ranges::upper_bound(ram_, pfn, {}, &PfnRange::begin);
  return after != ram_.begin() && pfn < std::prev(after)->end;
}

bool CpuListWalk::looks_free(Pfn pfn) {
  const std::optional<VirtAddr> address = map_.page_address(pfn);
  if (!address || !memory_.read(*address, page_)) return false;
  const auto u32 = [&](uint64_t offset) { return uint32_t{load<ul32>(page_, offset).value_or(~0U)}; };
  const auto u64 = [&](uint64_t offset) { return uint64_t{load<ul64>(page_, offset).value_or(~0ULL)}; };
  uint64_t busy = 0;
  for (const std::optional<unsigned>& bit :
       {markers_.lru, markers_.private_bit, markers_.hwpoison, markers_.slab_bit, markers_.head}) {
    if (bit) busy |= uint64_t{1} << *bit;
  }
  // A tail of a compound page has bit 0 set where a free page has a link or nothing.
  return u32(markers_.refcount) == 0 && u32(markers_.mapcount) == 0xffffffff && u64(markers_.mapping) == 0 &&
         (u64(markers_.flags) & busy) == 0 && (u64(markers_.compound_head) & 1) == 0;
}

}  // namespace kdk
