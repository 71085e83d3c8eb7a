// In which order the pages of a dump are written: the most useful ones first, so that a dump that is cut - by
// a full disk, a limit, a watchdog - still holds the log, the tasks and the backtraces. The format lets page
// data lie anywhere; only the descriptors are in PFN order.
//
// What comes first is told exactly, by page frame: it is little. The rest goes by blocks of 64 page frames,
// each with the most useful page in it: a byte for each block is all that this costs in memory, and pages
// that the kernel allocated together stay together.
//
// In this order, each without what came before:
//   page_tables   of the kernel, but for the last level of its linear map
//   log           the printk buffers
//   cpus          the stacks the CPUs were on, and what says which CPUs there are
//   sections      where the struct pages are (mem_section): crash opens no dump without
//   per_cpu       the first chunk of per-CPU memory
//   tasks         task_struct, signal_struct and stack of every task
//   image_data    the image's data and bss
//   modules       the memory of loaded modules
//   image_rodata  symbols (kallsyms), types (BTF), unwind tables
//   image_text    code, which a vmlinux has, too
//   mapped        what else the kernel maps outside its linear map: vmalloc
//   linear_tables the last level of the linear map's tables, where arithmetic gives the same answer
// and by blocks: slab, kernel (anything else in use by it), memory_map (struct pages), user, cache, free.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "capture/filter/pins.h"
#include "capture/filter/scan.h"
#include "core/kernel/kernel.h"
#include "core/kernel/pages.h"

namespace kdk {

struct PageOrder {
  struct Group {
    std::string name;
    std::vector<PfnRange> ranges;  // sorted, disjoint, also from those of other groups
  };
  std::vector<Group> first;
  // By blocks: names of the groups, and for each block of 64 page frames, aligned to that, its group's
  // number. Blocks beyond the end belong to the first. No names: one group of all pages.
  std::vector<std::string> rest;
  ByteMap block_group;
};

// `scan`, `pins`: of the same dump. What cannot be found is left to a later group. Never throws.
PageOrder order_pages(Kernel& kernel, const MemMap& map, const Pins& pins, const Scan& scan);

// Makes the groups disjoint: each keeps what no earlier one has, clipped to `ram`. Empty groups go. For
// tests.
void make_disjoint(std::vector<PageOrder::Group>& groups, const std::vector<PfnRange>& ram);

}  // namespace kdk
