// Where the running kernel puts the segments it makes itself for kexec_file_load.
//
// Source: kernel/kexec_file.c (kexec_add_buffer, locate_mem_hole_bottom_up, locate_mem_hole_top_down) and,
// for control pages, kernel/kexec_core.c (kimage_alloc_crash_control_pages).
#pragma once

#include <string>
#include <vector>

#include "loader/plan/plan.h"

namespace kdk {

// The kernel's search for holes in the main crash region, a segment after another, in the kernel's order.
// Sizes are rounded up to whole pages of the running kernel, which also are the least alignment.
class KernelPlacer {
 public:
  KernelPlacer(const Range& region, uint64_t page_size) : region_(region), page_size_(page_size) {}

  struct Limits {
    uint64_t alignment = 1;  // a power of two
    uint64_t minimum = 0;    // lowest address
    bool estimated = false;  // the size is an upper bound
  };
  // The lowest, or the highest, place that is left. Throw Error{unsupported} when there is none.
  Range bottom_up(std::string name, uint64_t size, const Limits& limits);
  Range top_down(std::string name, uint64_t size, const Limits& limits);

  std::vector<ExpectedSegment> take() { return std::move(segments_); }

 private:
  Range add(std::string name, Range memory, bool estimated);

  Range region_;
  uint64_t page_size_;
  std::vector<ExpectedSegment> segments_;  // ascending
};

}  // namespace kdk
