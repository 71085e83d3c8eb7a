// One pass over all struct pages: decides for each page frame of the dump whether it is kept, and counts the
// classes.
//
// The result is one bitmap, so nothing is scanned twice however sparse the address space is. Doubt keeps a
// page: no struct page, an unreadable one, an order that does not fit its place, a page of a compound page
// that is not marked as one. Pinned pages (capture/filter/pins.h) are kept whatever their struct page says.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "capture/filter/filter.h"
#include "core/base/types.h"
#include "core/formats/kdump_writer.h"
#include "core/kernel/pages.h"

namespace kdk {

struct ScanRequest {
  unsigned level = level_all;
  // Page frames to keep, sorted, disjoint.
  const std::vector<PfnRange>* pinned = nullptr;
  // Set from a signal handler: the scan stops soon and the result is not `complete`.
  const std::atomic<bool>* stop = nullptr;
  // Called now and then with page frames done and in total; may be empty.
  std::function<void(uint64_t done, uint64_t total)> progress;
};

// A byte for each block of 64 page frames; memory only where one is not 0.
using ByteMap = std::vector<uint8_t, LazyZeroAllocator<uint8_t>>;

// What the pages that a block keeps are: bits of Scan::blocks.
enum BlockBit : uint8_t {
  block_slab = 1,
  block_kernel = 2,
  block_user = 4,
  block_cache = 8,
  block_free = 16,
};

struct ClassCounts {
  uint64_t found = 0;     // pages of this class in the RAM of the dump
  uint64_t excluded = 0;  // of these, left out
};

struct Scan {
  PfnBitmap keep;
  std::array<ClassCounts, page_class_count> classes;
  uint64_t ram_pages = 0;
  // Kept only because pinned, although the struct page says that they may go: a sign of a damaged memory map.
  uint64_t pinned_conflicts = 0;
  std::vector<Pfn> conflict_examples;  // the first few
  // Contradictions met, each of which kept pages.
  uint64_t bad_orders = 0;        // free block whose order cannot be, or is not aligned to it
  uint64_t broken_compounds = 0;  // a page inside a compound page that is neither its tail nor its head again
  uint64_t orphan_tails = 0;      // tail pages whose head was not met
  // Free blocks by order: how many, and the first and last met (what the free lists are found through).
  struct FreeOrder {
    uint64_t blocks = 0;
    Pfn first, last;
  };
  std::array<FreeOrder, 64> free_orders;
  ByteMap blocks;  // BlockBits, by PFN / 64; empty when struct pages were not looked at
  bool complete = true;

  const ClassCounts& of(PageClass c) const { return classes[static_cast<size_t>(c)]; }
  uint64_t kept() const;
};

// `ram`: page frames of the dump. Throws what PageClassifier throws; unreadable struct pages are counted, not
// thrown.
Scan scan_pages(KernelMemory& memory, MemMap& map, const PageMarkers& markers,
                const std::vector<PfnRange>& ram, const ScanRequest& request);

// The scan of a dump whose struct pages cannot be used: every page is kept, every class is unknown.
Scan keep_everything(const std::vector<PfnRange>& ram);

}  // namespace kdk
