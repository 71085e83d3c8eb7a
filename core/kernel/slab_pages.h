// Objects of the slab allocator (SLUB): which object an address is in, and all objects of one cache.
//
// A slab is one or more pages that hold objects of one size; its struct page, seen as struct slab, says of
// which cache. Sources: mm/slab.h, mm/slub.c. Linux commit d122019bf061 ("mm: Split slab into its own type")
// (in v5.17); before it the same members are in struct page.
#pragma once

#include <functional>
#include <optional>

#include "core/kernel/page_classes.h"
#include "core/kernel/pages.h"
#include "core/kernel/typed_memory.h"

namespace kdk {

class SlabPages {
 public:
  // Throws Error{missing,format,fault} when struct pages or their types cannot be had.
  explicit SlabPages(TypedMemory& types);

  struct Object {
    VirtAddr at;
    uint64_t size = 0;  // bytes, with what the allocator keeps behind the object
    VirtAddr cache;     // struct kmem_cache
    VirtAddr slab;      // struct slab, or the struct page that is one
  };
  // nullopt when `at` is in no slab. Throws Error{fault}.
  std::optional<Object> object_of(VirtAddr at);

  const PageMarkers& markers() const { return markers_; }
  const PageClassifier& classifier() const { return classifier_; }
  MemMap& map() { return map_; }
  // Where the linear map has a page frame; nullopt when its start is not known.
  std::optional<VirtAddr> linear(Pfn pfn);

  // Calls `visit` for each object of the cache, free ones too (what they held is still there), until it
  // returns false. Struct pages that cannot be read are passed over; returns how many.
  uint64_t for_each(VirtAddr cache, const std::function<bool(const Object&)>& visit);

  // nullopt: there is none, or it cannot be read.
  std::optional<std::vector<uint8_t>> struct_page(Pfn pfn);

 private:
  // Where the cache has its objects in a slab: the distance, and the first one's place.
  struct Shape {
    uint64_t stride = 0, first = 0;
  };
  Shape shape(VirtAddr cache);
  // In the slab that starts at `page`.
  uint64_t objects(VirtAddr page);

  TypedMemory& types_;
  const PageMarkers markers_;
  const PageClassifier classifier_;
  MemMap map_;
  TypeRef slab_, cache_;
};

// Address of the struct kmem_cache with this name. Throws Error{missing,...}.
VirtAddr find_slab_cache(TypedMemory& types, std::string_view name);

}  // namespace kdk
