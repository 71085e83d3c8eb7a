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

std::vector<std::string_view> entry_flags(std::span<const EntryFlag> all, uint64_t raw) {
  std::vector<std::string_view> found;
  for (const EntryFlag& flag : all) {
    if ((raw & flag.mask) == flag.value) found.push_back(flag.name);
  }
  return found;
}

std::vector<Translator::Step> TableTranslator::steps(std::optional<PhysAddr> root, VirtAddr va) {
  // The kernel names levels from both ends: the root is always the pgd, and what is folded away is in between
  // (include/asm-generic/pgtable-nop4d.h and its like).
  static constexpr std::array<std::string_view, 4> names = {"pte", "pmd", "pud", "p4d"};
  const uint64_t address = plain(va.value);
  std::vector<Step> out;
  PhysAddr table = root ? plain_root(*root) : root_;
  uint64_t mask = shape_.root_mask;
  for (unsigned height = shape_.levels; height-- > 0;) {
    const unsigned shift = shape_.shift(height);
    Step step;
    step.height = height;
    step.level = height + 1 == shape_.levels || height >= names.size() ? "pgd" : names[height];
    step.entry = table + ((address >> shift) & mask) * 8;
    step.size = uint64_t{1} << shift;
    ul64 raw;
    if (memory_.read_phys(step.entry, {reinterpret_cast<uint8_t*>(&raw), sizeof raw})) {
      step.raw = raw;
      const Entry entry = decode(raw, height);
      step.kind = entry.kind == Entry::Kind::leaf    ? Step::Kind::leaf
                  : entry.kind == Entry::Kind::table ? Step::Kind::table
                                                     : Step::Kind::invalid;
      step.to = {entry.address};
      if (step.kind == Step::Kind::leaf)
        step.to = {align_down(entry.address, step.size) + (address & (step.size - 1))};
      if (step.kind != Step::Kind::invalid) step.flags = flags(raw, height);
    }
    out.push_back(step);
    if (step.kind != Step::Kind::table) break;
    table = step.to;
    mask = shape_.index_mask();
  }
  return out;
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
