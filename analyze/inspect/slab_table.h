// Every cache of the slab allocator, with what is in it: counted over the struct pages of all memory, so that
// it is exact whatever statistics the kernel was built with.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "analyze/inspect/slab_use.h"

namespace kdk {

struct SlabCache {
  std::string name;  // escaped
  uint64_t address = 0;
  uint64_t object_bytes = 0, stride_bytes = 0;  // as asked for; as it is placed
  uint64_t slabs = 0, objects = 0, pages = 0;
  uint64_t in_use = 0;
};

struct SlabTable {
  std::vector<SlabCache> caches;  // those with the most memory first
  uint64_t page_bytes = 0;
  uint64_t unlisted_pages = 0;    // of slabs whose cache is on no list
  uint64_t unreadable_pages = 0;  // page frames whose struct page is not in the dump
  std::vector<std::string> problems;
};

// Throws Error{missing,fault,format} when there is nothing to count.
SlabTable read_slab_table(TypedMemory& types);

}  // namespace kdk
