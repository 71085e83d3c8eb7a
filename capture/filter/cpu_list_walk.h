// The walk over the free pages that one CPU keeps of one zone: see cpu_lists.h for what it believes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "capture/filter/zones.h"
#include "core/kernel/kernel.h"
#include "core/kernel/pages.h"

namespace kdk {

// Offsets in bytes.
struct CpuListLayout {
  uint64_t pageset = 0;  // of zone: per-CPU pointer to per_cpu_pages
  uint64_t count = 0, lists = 0, list_count = 0, migrate_types = 0;
  unsigned huge_order = 0;
  uint64_t lru = 0, next = 0, prev = 0;  // of page, of list_head

  VirtAddr list(VirtAddr pages, uint64_t index) const;
  // Each entry of a list is a block of 2^order pages.
  unsigned order(uint64_t list) const;
};

// From the kernel's types; nullopt says in `problem` what they lack.
std::optional<CpuListLayout> cpu_list_layout(Kernel& kernel, const ZoneLayout& zone, std::string& problem);

class CpuListWalk {
 public:
  // All must outlive it. `ram`: sorted, disjoint.
  CpuListWalk(KernelMemory& memory, const MemMap& map, const PageMarkers& markers,
              const CpuListLayout& layout, const std::vector<PfnRange>& ram);

  // The blocks of the lists at `pages` (a struct per_cpu_pages), as they are met; nullopt with the
  // contradiction in problem().
  std::optional<std::vector<PfnRange>> blocks(VirtAddr pages);
  const std::string& problem() const { return problem_; }

  // The page that a link lies in; nullopt: it is no struct page of the dump's RAM.
  std::optional<Pfn> page_of_link(VirtAddr link) const;
  std::optional<VirtAddr> link_of_page(Pfn pfn) const;
  // What free_pages_prepare (mm/page_alloc.c) leaves: nobody's, of no type, of no mapping, none of the flags
  // of a page in use. Live pages can look like this, too.
  bool looks_free(Pfn pfn);

 private:
  bool walk(VirtAddr head, unsigned order, uint64_t most);
  bool free_block(Pfn first, unsigned order);
  bool in_ram(Pfn pfn) const;
  std::nullopt_t refuse(std::string why);

  KernelMemory& memory_;
  const MemMap& map_;
  const PageMarkers& markers_;
  const CpuListLayout& layout_;
  const std::vector<PfnRange>& ram_;
  Pfn first_;
  std::optional<VirtAddr> first_address_;
  std::vector<uint8_t> page_;
  std::vector<PfnRange> blocks_;
  std::string problem_;
};

}  // namespace kdk
