// Memory totals and zones at the crash, from the kernel's own counters. Pages that per-CPU counters had not
// folded yet are not included: expect a difference of some hundred pages to what /proc/meminfo would have
// said. Source: mm/show_mem.c, include/linux/mmzone.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/kernel/kernel.h"

namespace kdk {

struct Zone {
  int node = 0;
  std::string name;  // "DMA", "Normal", ...; escaped
  std::optional<uint64_t> managed_pages, present_pages, spanned_pages, free_pages;
  std::optional<uint64_t> min_pages, low_pages, high_pages;  // watermarks
};

struct HugePagePool {
  uint64_t page_bytes = 0;
  uint64_t total = 0, free = 0;  // pages
};

struct MemorySummary {
  uint64_t ram_bytes =
      0;  // RAM the dump knows of, present or filtered out; the crash kernel's reservation is not in it
  uint32_t page_bytes = 0;
  // In pages; nullopt: the counter is not known on this kernel or could not be read.
  std::optional<uint64_t> total, free, anon, file, shmem, slab_reclaimable, slab_unreclaimable, page_tables,
      dirty, writeback, swap_total, swap_free;
  std::optional<uint64_t> kernel_stack_bytes;
  std::vector<Zone> zones;  // populated zones only
  std::vector<HugePagePool> huge_pages;
  std::vector<std::string> missing;  // sentences: what is absent and why
  bool damaged = false;              // something could not be read although it should be there
};

// Never throws.
MemorySummary read_memory_summary(Kernel& kernel);

}  // namespace kdk
