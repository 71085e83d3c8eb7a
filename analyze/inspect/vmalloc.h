// The areas of vmalloc space, out of the kernel's own trees.
//
// Linux commit d093602919ad ("mm: vmalloc: Remove global vmap_area_root rb-tree") (in v6.9): areas are in a
// tree for each of vmap_nodes. Before it they are in one tree (vmap_area_root) and one list (vmap_area_list).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/kernel/typed_memory.h"

namespace kdk {

struct VmapArea {
  uint64_t start = 0, end = 0;
  uint64_t vm = 0;      // struct vm_struct; 0: none (vm_map_ram)
  uint64_t caller = 0;  // who asked for it
  uint64_t pages = 0;   // that back it; 0: it maps a device, or none is known
};

struct VmapAreas {
  std::vector<VmapArea> areas;  // by address
  std::vector<std::string> problems;
};

// Never throws.
VmapAreas read_vmap_areas(TypedMemory& types);

}  // namespace kdk
