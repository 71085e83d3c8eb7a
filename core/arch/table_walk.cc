#include "core/arch/table_walk.h"

#include <vector>

namespace kdk {

Translation TableTranslator::walk(uint64_t va) noexcept {
  CachedTable& cached = cache_[(va >> shape_.shift(1)) % cached_tables];
  if (cached.tag == va >> shape_.shift(1)) return descend(va, cached.table, 0, shape_.index_mask(), nullptr);
  return descend(va, root_, shape_.levels - 1, shape_.root_mask, &cached);
}

Translation TableTranslator::translate_in(PhysAddr root, VirtAddr va) noexcept {
  return descend(va.value, root, shape_.levels - 1, shape_.root_mask, nullptr);
}

Translation TableTranslator::descend(uint64_t va, PhysAddr table, unsigned height, uint64_t mask,
                                     CachedTable* cached) noexcept {
  // Every step goes one level down: tables that point at themselves or out of RAM cannot keep this going.
  for (;; --height) {
    const unsigned shift = shape_.shift(height);
    ul64 raw;
    if (!memory_.read_phys(table + ((va >> shift) & mask) * 8,
                           {reinterpret_cast<uint8_t*>(&raw), sizeof raw})) {
      return {Translation::Status::table_unavailable, {}, 0};
    }
    const Entry entry = decode(raw, height);
    if (entry.kind == Entry::Kind::invalid) return {Translation::Status::unmapped, {}, 0};
    if (entry.kind == Entry::Kind::leaf) {
      const uint64_t size = uint64_t{1} << shift, within = va & (size - 1);
      return {Translation::Status::mapped, {align_down(entry.address, size) + within}, size - within};
    }
    table = {entry.address};
    mask = shape_.index_mask();
    if (height == 1 && cached != nullptr) *cached = {va >> shift, table};
  }
}

bool TableTranslator::walk_tables(const std::function<bool(const TableEntry&)>& visit) {
  std::unordered_set<uint64_t> seen;
  const VirtAddr start{layout_.kernel_start};
  if (!visit({start, ~start.value + 1, root_, true})) return true;
  return walk_table(root_, start.value, shape_.levels - 1, visit, seen);
}

// One table and what is below it. `seen` holds tables already descended into, with their height in the low
// bits: the kernel shares tables (KASAN's early shadow) and a hostile one can point at itself; neither may
// multiply the work.
bool TableTranslator::walk_table(PhysAddr table, uint64_t base, unsigned height,
                                 const std::function<bool(const TableEntry&)>& visit,
                                 std::unordered_set<uint64_t>& seen) {
  if (!seen.insert(table.value | height).second) return true;
  const bool is_root = height == shape_.levels - 1;
  const unsigned shift = shape_.shift(height);
  // The root has as many entries as the address space needs; its first ones may lie below kernel_start.
  const uint64_t first = is_root ? (base >> shift) & shape_.root_mask : 0;
  const uint64_t last = is_root ? shape_.root_mask : shape_.index_mask();
  std::vector<uint8_t> entries((last - first + 1) * 8);
  if (!memory_.read_phys(table + first * 8, entries)) return false;
  bool whole = true;
  for (uint64_t i = 0; i <= last - first; ++i) {
    const Entry found = decode(*load<ul64>(entries, i * 8), height);
    if (found.kind == Entry::Kind::invalid) continue;
    TableEntry entry{
        {base + (i << shift)}, uint64_t{1} << shift, {found.address}, found.kind == Entry::Kind::table};
    if (!entry.table) entry.pa = {align_down(entry.pa.value, entry.size)};
    if (visit(entry) && entry.table) whole &= walk_table(entry.pa, entry.va.value, height - 1, visit, seen);
  }
  return whole;
}

}  // namespace kdk
