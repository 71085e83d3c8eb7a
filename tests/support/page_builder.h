// Places mem_section and struct pages in a synthetic machine, with the VMCOREINFO keys of one kernel era.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "core/base/types.h"
#include "tests/support/dump_builder.h"

namespace kdk::test {

// How the markers of struct page are stored; each preset is what kernels of that range export and do.
enum class PageEra : uint8_t {
  v4_9,   // buddy -128, compound_dtor and compound_order in page[1], PG_slab
  v5_4,   // page_type with inverted bits, compound order u8
  v6_1,   // the same, folio names unknown to VMCOREINFO
  v6_4,   // folio._folio_dtor, _folio_order
  v6_6,   // order in page[1].flags, PG_hugetlb in page[1].flags
  v6_9,   // hugetlb is a page type
  v6_10,  // slab is a page type
  v6_12,  // one page type in the top byte
  v7_1,   // compound_info in place of compound_head
};

enum class MemoryModel : uint8_t { sparse_extreme, sparse_extreme_pointer, sparse, flat };

enum class PageClass : uint8_t {
  kernel,         // in use, no marker
  buddy,          // free, 2^order
  cache,          // page cache without private data
  cache_private,  // page cache with buffers
  anon,
  swap_cache,
  hugetlb,  // compound
  slab,     // compound when order > 0
  offline,
  hwpoison,
  table,
};

struct MemMapOptions {
  PageEra era = PageEra::v6_12;
  MemoryModel model = MemoryModel::sparse_extreme;
  unsigned section_size_bits = 0;  // 0: 27; 30 for MemoryModel::sparse, whose table has every section
  unsigned max_physmem_bits = 0;   // 0: 52 for 52-bit builds, else 48; 40 for MemoryModel::sparse
  uint64_t extra_section_flags = 0;
  bool vmemmap_blocks = true;  // map the vmemmap by 2 MiB blocks on 4K pages, as kernels do
  bool export_vmemmap = true;  // SYMBOL(vmemmap)
  // The struct pages of all page frames from the first of RAM are in one run from here, and nothing is
  // written to them: for machines with more RAM than fits memory. A multiple of 2 MiB.
  std::optional<PhysAddr> struct_pages_at = {};
};

class PageBuilder {
 public:
  // Allocates and maps struct pages for all RAM of `machine` and sets the keys.
  PageBuilder(DumpBuilder& machine, const MemMapOptions& options = {});

  // Marks 2^order pages from `first` (aligned to 2^order); a compound page when the class is one.
  void set(Pfn first, unsigned order, PageClass page_class, bool compound = false);
  VirtAddr struct_page(Pfn pfn) const;
  uint64_t struct_size() const { return 64; }
  // Address of mem_section's root array (sparse) or of mem_map (flat).
  VirtAddr mem_section() const { return mem_section_; }

 private:
  void map_struct_pages();
  void put_keys();
  void put_sections();
  void put_flat();

  DumpBuilder& machine_;
  MemMapOptions options_;
  VirtAddr vmemmap_;  // address of the (imaginary) struct page of PFN 0
  VirtAddr mem_section_;
};

}  // namespace kdk::test
