// The memory zones of the crashed kernel: where each struct zone is, and what of it VMCOREINFO describes.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "capture/filter/scan.h"
#include "core/kernel/kernel.h"
#include "core/kernel/pages.h"

namespace kdk {

// Offsets and sizes in bytes, counts of items.
struct ZoneLayout {
  uint64_t node_zones, nr_zones, zone_size, vm_stat, free_item, free_area, free_area_size, free_list, lists,
      orders;
  uint64_t next, prev, lru;
};

// From VMCOREINFO; nullopt names the absent key in `missing`.
std::optional<ZoneLayout> zone_layout(const Vmcoreinfo& info, std::string& missing);

struct Zones {
  std::set<uint64_t> addresses;  // virtual, of struct zone
  std::string source;            // "node_data", "contig_page_data", "free lists"; empty: none found
  bool exhaustive = false;       // these are all there are
};

// Through the kernel's arrays of nodes; where their symbols are unknown, backwards from the free blocks that
// the scan met. Never throws.
Zones find_zones(Kernel& kernel, const MemMap& map, const ZoneLayout& layout, const PageMarkers& markers,
                 const Scan& scan);

}  // namespace kdk
