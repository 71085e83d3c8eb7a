// Checks the scan against the kernel's own count of free pages. When the markers of a new kernel are misread,
// or the memory map is damaged, this is where it shows, without knowing the kernel's version: the pages found
// on the buddy allocator's lists must be as many as NR_FREE_PAGES of all zones says.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "capture/filter/scan.h"
#include "core/kernel/kernel.h"
#include "core/kernel/pages.h"

namespace kdk {

struct FreeCheck {
  enum class Result : uint8_t {
    agrees,
    fewer_found,  // the dump will be larger than it need be
    more_found,   // pages in use would be taken for free: free pages must be kept
    not_checked,
  };
  Result result = Result::not_checked;
  uint64_t found = 0;         // pages the scan calls free
  uint64_t kernel_count = 0;  // NR_FREE_PAGES of all zones found
  uint64_t tolerance = 0;     // pages of difference that per-CPU counters explain
  size_t zones = 0;
  std::string zones_source;  // "node_data", "contig_page_data", "free lists"
  std::string detail;        // a sentence when it was not checked or does not agree
};
std::string_view to_string(FreeCheck::Result result);

// Never throws.
FreeCheck check_free_pages(Kernel& kernel, const MemMap& map, const PageMarkers& markers, const Scan& scan);

// The verdict alone; for tests. `exhaustive`: all zones are known, so a surplus found is a contradiction.
FreeCheck::Result compare_free_pages(uint64_t found, uint64_t kernel_count, uint64_t tolerance,
                                     bool exhaustive);

}  // namespace kdk
