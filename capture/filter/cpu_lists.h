// Free pages that the allocator keeps on lists of its CPUs. They bear no mark - to their struct page they are
// pages of the kernel that nobody counts a reference of, and so are live pages (the tail pages of blocks that
// are not compound) - so the lists themselves are walked: zone.per_cpu_pageset of every possible CPU.
//
// A page leaves the dump only when all of this holds: its list is a sound ring (every link has its way back),
// its struct page is one of a free page, and so are those of its whole block, and all lists of that CPU and
// zone together hold as many pages as their counter says. Otherwise the pages of that CPU and zone are kept.
//
// Source: mm/page_alloc.c (free_frozen_page_commit, order_to_pindex), include/linux/mmzone.h (struct
// per_cpu_pages).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "capture/filter/scan.h"
#include "core/kernel/kernel.h"
#include "core/kernel/pages.h"

namespace kdk {

struct CpuLists {
  std::vector<PfnRange> blocks;  // of free pages, sorted and disjoint
  uint64_t pages = 0;            // in these
  uint64_t refused = 0;          // CPUs of a zone whose lists contradict themselves: not in `blocks`
  std::string problem;           // why none, or not all, could be looked at; or the first contradiction
};

// Never throws.
CpuLists find_cpu_lists(Kernel& kernel, const MemMap& map, const PageMarkers& markers, const Scan& scan);

// Takes the pages out of the scan's result, except pinned ones (sorted, disjoint): they count as
// PageClass::cpu_free instead of kernel, and as excluded when `level` leaves out free pages.
void exclude_cpu_lists(const CpuLists& lists, unsigned level, const std::vector<PfnRange>& pinned,
                       Scan& scan);

}  // namespace kdk
