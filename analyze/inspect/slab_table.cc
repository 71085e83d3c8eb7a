#include "analyze/inspect/slab_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>

#include "core/base/log.h"

namespace kdk {
namespace {

constexpr size_t most_caches = 1 << 14;
constexpr size_t most_name = 64;

SlabCache read_cache(TypedMemory& types, const TypeRef& type, VirtAddr at) {
  SlabCache out;
  out.address = at.value;
  const TypedPlace place{at, type};
  if (const auto name = types.number(place, "name"))
    out.name = escape_untrusted(types.memory().string({*name}, most_name).value_or(""));
  out.stride_bytes = types.number(place, "size").value_or(0);
  if (type.btf->member(type.id, "object_size"))
    out.object_bytes = types.number(place, "object_size").value_or(0);
  return out;
}

}  // namespace

SlabTable read_slab_table(TypedMemory& types) {
  SlabTable table;
  KernelMemory& memory = types.memory();
  table.page_bytes = memory.page_size();
  const TypeRef type = types.require_type("kmem_cache");
  SlabPages pages(types);
  const auto own_type = types.find_type("slab");
  const TypeRef slab = own_type ? *own_type : types.require_type("page");
  const auto list = type.btf->member(type.id, "list");
  const auto cache_at = slab.btf->member(slab.id, "slab_cache"), in_use = slab.btf->member(slab.id, "inuse"),
             objects = slab.btf->member(slab.id, "objects");
  const auto head = types.kernel().symbol("slab_caches");
  if (!list || !cache_at || !in_use || !objects) throw Error(Errc::missing, "no layout for slabs");
  if (!head) throw Error(Errc::missing, "the symbol slab_caches is not known");

  std::unordered_map<uint64_t, size_t> index;
  const WalkEnd end = walk_list(memory, *head, most_caches, [&](VirtAddr node) {
    const VirtAddr at = node - list->offset();
    // A list item: a cache that cannot be read is named, and the others stay.
    try {
      table.caches.push_back(read_cache(types, type, at));
      index.emplace(at.value, table.caches.size() - 1);
    } catch (const Error& error) {
      table.problems.push_back(fmt::format("cache at {:#x}: {}", at.value, error.message()));
    }
    return true;
  });
  if (end != WalkEnd::complete)
    table.problems.push_back(fmt::format("the list of caches ended early: {}", to_string(end)));

  // `inuse` and `objects` share a word: 16 and 15 bits, in this order (mm/slab.h).
  const auto bits = [](Bytes page, const Btf::Member& m) {
    const uint64_t word = load<ul64>(page, std::min<uint64_t>(m.offset(), page.size() - 8)).value_or(0);
    const unsigned shift = static_cast<unsigned>(
        (m.offset() - std::min<uint64_t>(m.offset(), page.size() - 8)) * 8 + m.bit_offset % 8);
    return (word >> shift) & ((uint64_t{1} << (m.bitfield_size != 0 ? m.bitfield_size : 16)) - 1);
  };
  const uint64_t struct_size = pages.markers().struct_size;
  if (struct_size < 16 || cache_at->offset() + 8 > struct_size || objects->offset() + 4 > struct_size)
    throw Error(Errc::format, "struct slab does not fit a struct page");
  for (const PfnRange& range : pages.map().present()) {
    pages.map().for_each_run(range, [&](const MemMap::Run& run) {
      if (run.struct_pages.empty()) {
        table.unreadable_pages += run.count;
        return;
      }
      for (uint64_t i = 0; i < run.count; ++i) {
        const Bytes page = run.struct_pages.subspan(i * struct_size, struct_size);
        if (pages.classifier().is_tail(page.data()) || !pages.classifier().is_slab(page.data())) continue;
        // The order is in the struct page that follows, where there is one in this run.
        const bool more = i + 1 < run.count;
        const PageFacts facts = pages.classifier().classify(
            page.data(), more ? run.struct_pages.data() + (i + 1) * struct_size : nullptr);
        const uint64_t count = uint64_t{1} << std::min(facts.order, 20u);
        const auto found = index.find(load<ul64>(page, cache_at->offset()).value_or(0));
        if (found == index.end()) {
          table.unlisted_pages += count;
          continue;
        }
        SlabCache& cache = table.caches[found->second];
        ++cache.slabs;
        cache.pages += count;
        cache.objects += bits(page, *objects);
        cache.in_use += bits(page, *in_use);
      }
    });
  }
  try {
    SlabUse use(types);
    for (SlabCache& cache : table.caches)
      cache.in_use -= std::min(cache.in_use, use.free_on_cpus({cache.address}));
  } catch (const Error& error) {
    table.problems.push_back(
        fmt::format("objects that are free on the lists of CPUs count as in use: {}", error.message()));
  }
  std::ranges::stable_sort(table.caches,
                           [](const SlabCache& a, const SlabCache& b) { return a.pages > b.pages; });
  return table;
}

}  // namespace kdk
