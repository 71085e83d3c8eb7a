// Pages that stay in the dump whatever their struct page says, because without them the dump cannot be opened
// or understood: a damaged memory map must not be able to drop the page tables that everything else is found
// through.
//
// What to pin is read off the page tables themselves, not off symbols: whatever the kernel maps outside its
// linear map it uses - its image, modules, task stacks (VMAP_STACK), vmalloc and per-CPU chunks. Image memory
// that the kernel has given back to the allocator is not pinned: on arm64 the init sections are no longer
// mapped there, and what stays mapped all the same (until v6.8 the early page tables at its end; on x86-64
// the init sections and the gaps between sections) has lost the mark of reserved memory that the rest still
// has. Source: arch/arm64/mm/init.c free_initmem (unmaps the init range), arch/arm64/mm/mmu.c paging_init
// (frees init_pg_dir), arch/x86/mm/init.c free_kernel_image_pages, mm/vmalloc.c, mm/percpu.c.
#pragma once

#include <string>
#include <vector>

#include "core/base/types.h"
#include "core/kernel/kernel.h"
#include "core/kernel/pages.h"

namespace kdk {

struct PinKind {
  std::string name;    // "kernel_image", "page_tables", "mapped", "memory_map", "per_cpu", "task_stacks"
  uint64_t pages = 0;  // page frames it names; kinds may overlap
  std::vector<PfnRange> ranges;  // these, sorted, disjoint, clipped to the dump's RAM
  std::string problem;           // why it is absent or not whole; empty otherwise
};

struct Pins {
  std::vector<PfnRange> ranges;  // sorted, disjoint, clipped to the dump's RAM
  std::vector<PinKind> kinds;
  std::vector<PfnRange> linear_tables;  // of the page tables: the last level of the linear map's

  // Empty when there is no such kind.
  const std::vector<PfnRange>& of(std::string_view kind) const;
};

// What cannot be found is said in its kind. Throws what PageClassifier throws.
Pins find_pins(Kernel& kernel, MemMap& map, const PageMarkers& markers);

// Sorts, merges and clips to `ram` (sorted, disjoint). For tests.
std::vector<PfnRange> merge_ranges(std::vector<PfnRange> ranges, const std::vector<PfnRange>& ram);

}  // namespace kdk
