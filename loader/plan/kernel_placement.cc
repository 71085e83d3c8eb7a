#include "loader/plan/kernel_placement.h"

#include <algorithm>

#include "core/base/bytes.h"
#include "loader/plan/placement.h"

namespace kdk {

Range KernelPlacer::bottom_up(std::string name, uint64_t size, const Limits& limits) {
  size = align_up(size, page_size_);
  uint64_t alignment = std::max(limits.alignment, page_size_);
  uint64_t start = align_up(std::max(region_.start, limits.minimum), alignment);
  // Segments are sorted, so one pass over them finds the lowest hole.
  for (const ExpectedSegment& taken : segments_) {
    if (taken.memory.overlaps({start, size})) start = align_up(taken.memory.end(), alignment);
  }
  if (!in_bounds(region_.end(), start, size)) throw_no_room(region_, name, size);
  return add(std::move(name), {start, size}, limits.estimated);
}

Range KernelPlacer::top_down(std::string name, uint64_t size, const Limits& limits) {
  size = align_up(size, page_size_);
  uint64_t alignment = std::max(limits.alignment, page_size_);
  if (size > region_.size) throw_no_room(region_, name, size);
  uint64_t start = align_down(region_.end() - size, alignment);
  for (size_t i = segments_.size(); i-- > 0;) {
    const Range& taken = segments_[i].memory;
    if (!taken.overlaps({start, size})) continue;
    if (taken.start < size) throw_no_room(region_, name, size);
    start = align_down(taken.start - size, alignment);
  }
  if (start < std::max(region_.start, limits.minimum)) throw_no_room(region_, name, size);
  return add(std::move(name), {start, size}, limits.estimated);
}

Range KernelPlacer::add(std::string name, Range memory, bool estimated) {
  auto behind = std::find_if(segments_.begin(), segments_.end(),
                             [&](const ExpectedSegment& s) { return s.memory.start > memory.start; });
  segments_.insert(behind, {std::move(name), memory, estimated});
  return memory;
}

}  // namespace kdk
