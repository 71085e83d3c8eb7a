// struct page: where it is for each PFN, and what the markers in it mean on this kernel (VMCOREINFO keys,
// newest form first). The decision which pages to keep is capture/filter's; this file only knows how to read
// them.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/base/bytes.h"
#include "core/base/types.h"
#include "core/formats/vmcoreinfo.h"
#include "core/kernel/memory.h"

namespace kdk {

// Offsets inside struct page and the values that mark page classes. An absent optional means this kernel has
// no such marker, and the class cannot be recognised by it.
struct PageMarkers {
  uint64_t struct_size = 0;
  uint64_t flags = 0, refcount = 0, mapping = 0, mapcount = 0, private_ = 0,
           compound_head = 0;  // offsets, bytes
  // Flag bit numbers.
  std::optional<unsigned> lru, private_bit, swapcache, swapbacked, hwpoison, slab_bit, hugetlb_bit, head;
  std::optional<uint64_t> head_mask;
  // Values of the _mapcount word (page_type). Compare (word & type_mask) with (value & type_mask).
  std::optional<uint32_t> buddy, offline, slab, hugetlb, unaccepted, table;
  // One type per page in the top byte since v6.12: then the low 24 bits may carry data.
  uint32_t type_mask = 0xffffffff;
  // Compound order: where page[1] (or the folio) holds it.
  enum class OrderEncoding : uint8_t {
    u8_in_second_page,
    u16_in_second_page,
    low_byte_of_second_flags,
    lru_prev
  };
  OrderEncoding order_encoding = OrderEncoding::low_byte_of_second_flags;
  uint64_t order_offset = 0;             // inside page[1], bytes
  std::optional<uint64_t> dtor_offset;   // inside page[1], bytes (kernels that mark huge pages by destructor)
  std::optional<uint64_t> hugetlb_dtor;  // its value for huge pages
  uint64_t max_order = 0;                // LENGTH(zone.free_area): orders are below this
};

// Throws Error{missing} naming the first VMCOREINFO key the page reader cannot do without.
PageMarkers read_page_markers(const Vmcoreinfo& info);

// Finds struct pages: through mem_section (SPARSEMEM, EXTREME or not), as presence map and as address source,
// or a flat mem_map. vmemmap is translated per block, not per page.
class MemMap {
 public:
  // Throws Error{missing,format,fault} when no memory model can be recognised.
  MemMap(KernelMemory& memory, const PageMarkers& markers);
  ~MemMap();

  // "sparsemem-extreme", "sparsemem", "flatmem".
  const std::string& model() const;
  // Virtual address of the struct page of `pfn`; nullopt when its section is absent.
  std::optional<VirtAddr> page_address(Pfn pfn) const;
  // PFN ranges that have struct pages, sorted and disjoint, clipped to the dump's RAM.
  const std::vector<PfnRange>& present() const;
  // Page frames that say where struct pages are: mem_section and its sections, or the node's descriptor. Sorted and
  // disjoint, as are those of own_pages().
  std::vector<PfnRange> table_pages() const;
  // The same and the page frames with the struct pages (for pinning).
  std::vector<PfnRange> own_pages() const;

  // Calls `visit(first, struct_pages)` for consecutive runs covering `range`: `struct_pages` holds whole
  // struct pages of first, first+1, ... Runs are as large as the physical contiguity of the vmemmap allows
  // (bounded by an internal buffer). A run whose memory cannot be read is reported with empty bytes and its
  // PFN count in `unreadable`. Thread-compatible: give each thread its own KernelMemory and MemMap.
  struct Run {
    Pfn first;
    uint64_t count = 0;
    Bytes struct_pages;  // count * struct_size bytes, or empty when unreadable
    // Where the struct pages behind them probably are, to be prefetched, never read: nothing says that memory
    // is mapped there.
    const uint8_t* behind = nullptr;
  };
  template <typename Visit>
  void for_each_run(PfnRange range, Visit&& visit) {
    for (Pfn pfn = range.begin; pfn < range.end;) {
      Run run = next_run(pfn, range.end);
      visit(run);
      pfn = pfn + run.count;
    }
  }
  // The run that starts at `pfn` (count >= 1); the bytes stay valid until the next call.
  Run next_run(Pfn pfn, Pfn end);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace kdk
