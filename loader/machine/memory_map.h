// The physical memory map of the running machine, from /proc/iomem.
//
// Source: kernel/resource.c (r_show): one line per resource, two spaces of indentation per level, inclusive
// ends. Readers without CAP_SYS_ADMIN see every address as zero.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace kdk {

// Physical addresses [start, start + size). Never wraps: whoever fills one has checked start + size.
struct Range {
  uint64_t start = 0;
  uint64_t size = 0;
  constexpr uint64_t end() const { return start + size; }
  constexpr bool contains(const Range& o) const { return o.start >= start && o.end() <= end(); }
  constexpr bool overlaps(const Range& o) const { return o.start < end() && start < o.end(); }
  friend constexpr auto operator<=>(const Range&, const Range&) = default;
};

// "0x41000000-0x50ffffff": inclusive end, as /proc/iomem writes it.
std::string to_string(const Range& range);

struct IomemEntry {
  Range range;
  unsigned depth = 0;  // 0 = top level
  std::string name;
};

struct MemoryMap {
  std::vector<IomemEntry> entries;  // in file order

  // Every "System RAM" resource at any depth, also "System RAM (kmem)" and other drivers' hot-plugged memory;
  // sorted, touching ranges merged.
  std::vector<Range> system_ram() const;
  // The "Crash kernel" resources, ascending, duplicates dropped. Two of them: low, then main. Throws
  // Error{format} when they overlap without being equal.
  std::vector<Range> crash_regions() const;
  // The first resource with exactly this name.
  std::optional<Range> find(std::string_view name) const;
};

// Parses the text of /proc/iomem. Throws Error{format} naming the line (end before start, child outside its
// parent), Error{denied} when all addresses are hidden.
MemoryMap parse_iomem(std::string_view text);

// Sorted, with overlapping and touching ranges merged and empty ones dropped.
std::vector<Range> merge_ranges(std::vector<Range> ranges);
// What is left of `ranges` without `holes`; ascending.
std::vector<Range> subtract_ranges(std::vector<Range> ranges, std::vector<Range> holes);
// True when `range` lies inside one of `merged` (the result of merge_ranges).
bool inside_any(const Range& range, const std::vector<Range>& merged);
uint64_t total_size(const std::vector<Range>& ranges);

}  // namespace kdk
