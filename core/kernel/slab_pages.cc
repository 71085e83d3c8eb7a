#include "core/kernel/slab_pages.h"

#include <fmt/format.h>

#include "core/base/error.h"

namespace kdk {
namespace {

constexpr size_t most_caches = 1 << 14;
constexpr uint64_t largest_object = 1 << 20;      // KMALLOC_MAX_CACHE_SIZE is two pages
constexpr uint64_t most_objects = 1 << 15;        // of a slab: 15 bits
constexpr uint64_t most_tail_distance = 1 << 10;  // pages of a slab

}  // namespace

SlabPages::SlabPages(TypedMemory& types)
    : types_(types),
      markers_(read_page_markers(types.kernel().vmcoreinfo())),
      classifier_(markers_),
      map_(types.memory(), markers_),
      cache_(types.require_type("kmem_cache")) {
  const std::optional<TypeRef> slab = types.find_type("slab");
  slab_ = slab ? *slab : types.require_type("page");
  for (const std::string_view member : {"slab_cache", "objects"}) {
    if (!slab_.btf->member(slab_.id, member))
      throw Error(Errc::missing, fmt::format("the kernel's slabs have no member {}: not SLUB", member));
  }
  if (!markers_.slab && !markers_.slab_bit) throw Error(Errc::missing, "the kernel does not mark slab pages");
}

std::optional<std::vector<uint8_t>> SlabPages::struct_page(Pfn pfn) {
  const std::optional<VirtAddr> at = map_.page_address(pfn);
  if (!at) return std::nullopt;
  std::vector<uint8_t> page(markers_.struct_size);
  if (!types_.memory().read(*at, page)) return std::nullopt;
  return page;
}

std::optional<VirtAddr> SlabPages::linear(Pfn pfn) {
  const VaLayout& layout = types_.memory().layout();
  if (layout.page_offset == 0) return std::nullopt;
  return VirtAddr{pfn.value * types_.memory().page_size() - layout.phys_offset + layout.page_offset};
}

SlabPages::Shape SlabPages::shape(VirtAddr cache) {
  Shape shape;
  shape.stride = types_.number({cache, cache_}, "size").value_or(0);
  // CONFIG_SLUB_DEBUG: a red zone before the object.
  if (cache_.btf->member(cache_.id, "red_left_pad"))
    shape.first = types_.number({cache, cache_}, "red_left_pad").value_or(0);
  if (shape.stride == 0 || shape.stride > largest_object || shape.first >= shape.stride)
    throw Error(Errc::format, fmt::format("a slab cache with objects of {} bytes", shape.stride));
  return shape;
}

uint64_t SlabPages::objects(VirtAddr page) {
  return std::min<uint64_t>(types_.number({page, slab_}, "objects").value_or(0), most_objects);
}

std::optional<SlabPages::Object> SlabPages::object_of(VirtAddr at) {
  const uint64_t page_size = types_.memory().page_size();
  const Translation found = types_.memory().translate(at);
  if (!found) return std::nullopt;
  Pfn pfn{found.pa.value / page_size};
  std::optional<std::vector<uint8_t>> page = struct_page(pfn);
  if (!page) return std::nullopt;
  if (classifier_.is_tail(page->data())) {
    const uint64_t head = load<ul64>(*page, markers_.compound_head).value_or(0) - 1;
    const std::optional<VirtAddr> own = map_.page_address(pfn);
    if (!own || head > own->value) return std::nullopt;
    const uint64_t distance = (own->value - head) / markers_.struct_size;
    if (distance > most_tail_distance || distance > pfn.value) return std::nullopt;
    pfn = {pfn.value - distance};
    page = struct_page(pfn);
    if (!page) return std::nullopt;
  }
  const std::optional<VirtAddr> head = map_.page_address(pfn);
  if (!classifier_.is_slab(page->data()) || !head) return std::nullopt;
  const VirtAddr cache{types_.number({*head, slab_}, "slab_cache").value_or(0)};
  const Shape shaped = shape(cache);
  const uint64_t into = found.pa.value - pfn.value * page_size;
  const uint64_t index = into / shaped.stride;
  if (index >= objects(*head)) return std::nullopt;
  return Object{at - (into - index * shaped.stride) + shaped.first, shaped.stride - shaped.first, cache,
                *head};
}

uint64_t SlabPages::for_each(VirtAddr cache, const std::function<bool(const Object&)>& visit) {
  const Shape shaped = shape(cache);
  const uint64_t slab_cache = slab_.btf->member(slab_.id, "slab_cache")->offset();
  uint64_t unreadable = 0;
  for (const PfnRange& range : map_.present()) {
    bool go_on = true;
    map_.for_each_run(range, [&](const MemMap::Run& run) {
      if (run.struct_pages.empty()) {
        unreadable += run.count;
        return;
      }
      for (uint64_t i = 0; go_on && i < run.count; ++i) {
        const Bytes page = run.struct_pages.subspan(i * markers_.struct_size, markers_.struct_size);
        if (classifier_.is_tail(page.data()) || !classifier_.is_slab(page.data()) ||
            load<ul64>(page, slab_cache).value_or(0) != cache.value)
          continue;
        const Pfn pfn = run.first + i;
        const std::optional<VirtAddr> base = linear(pfn), head = map_.page_address(pfn);
        if (!base || !head) continue;
        const uint64_t count = objects(*head);
        for (uint64_t n = 0; go_on && n < count; ++n)
          go_on =
              visit({*base + n * shaped.stride + shaped.first, shaped.stride - shaped.first, cache, *head});
      }
    });
    if (!go_on) break;
  }
  return unreadable;
}

VirtAddr find_slab_cache(TypedMemory& types, std::string_view name) {
  const TypedMemory::Variable head = types.variable("slab_caches");
  const TypeRef cache = types.require_type("kmem_cache");
  const auto list = cache.btf->member(cache.id, "list");
  if (!list) throw Error(Errc::missing, "kmem_cache has no member list");
  std::optional<VirtAddr> found;
  walk_list(types.memory(), head.at.front(), most_caches, [&](VirtAddr node) {
    const VirtAddr at = node - list->offset();
    const std::optional<uint64_t> text = types.number({at, cache}, "name");
    if (text && types.memory().string({*text}).value_or("") == name) found = at;
    return !found;
  });
  if (!found) {
    throw Error(Errc::missing, fmt::format("there is no slab cache {} (caches of equal objects are one: "
                                           "give a variable that points to it)",
                                           name));
  }
  return *found;
}

}  // namespace kdk
