#include "core/formats/extent_map.h"

#include <algorithm>
#include <queue>

namespace kdk {

ExtentMap::ExtentMap(std::vector<Extent> input) {
  std::erase_if(input, [](const Extent& e) { return e.begin >= e.end; });
  std::stable_sort(input.begin(), input.end(),
                   [](const Extent& a, const Extent& b) { return a.begin < b.begin; });

  // Sweep over the beginnings and ends. `open` has the best candidate on top; those that have ended are
  // dropped when they surface.
  auto worse = [&](size_t a, size_t b) {
    if (input[a].rank != input[b].rank) return input[a].rank < input[b].rank;
    return a > b;  // began later
  };
  std::priority_queue<size_t, std::vector<size_t>, decltype(worse)> open(worse);
  size_t next = 0;
  uint64_t at = 0;
  while (next < input.size() || !open.empty()) {
    if (open.empty()) at = std::max(at, input[next].begin);
    while (next < input.size() && input[next].begin <= at) open.push(next++);
    while (!open.empty() && input[open.top()].end <= at) open.pop();
    if (open.empty()) continue;
    const Extent& best = input[open.top()];
    uint64_t end = next < input.size() ? std::min(best.end, input[next].begin) : best.end;
    Extent piece{at, end, best.target + (at - best.begin), best.rank};
    Extent* last = extents_.empty() ? nullptr : &extents_.back();
    if (last != nullptr && last->end == piece.begin && last->rank == piece.rank &&
        last->target + (last->end - last->begin) == piece.target) {
      last->end = piece.end;
    } else {
      extents_.push_back(piece);
    }
    at = end;
  }
}

const Extent* ExtentMap::find(uint64_t address) const {
  auto after = std::partition_point(extents_.begin(), extents_.end(),
                                    [&](const Extent& e) { return e.end <= address; });
  return after == extents_.end() ? nullptr : &*after;
}

}  // namespace kdk
