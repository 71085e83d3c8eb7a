#include "analyze/inspect/slab_use.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_set>

#include "core/kernel/percpu.h"

namespace kdk {
namespace {

constexpr size_t most_objects = 1 << 15;  // of a slab: 15 bits

}  // namespace

SlabUse::SlabUse(TypedMemory& types) : types_(types), cache_(types.require_type("kmem_cache")) {
  // Linux commit d122019bf061 ("mm: Split slab into its own type") (in v5.17).
  const auto slab = types.find_type("slab");
  slab_ = slab ? *slab : types.require_type("page");
  cpu_ = types.find_type("kmem_cache_cpu");
  if (!slab_.btf->member(slab_.id, "freelist"))
    throw Error(Errc::missing, "the kernel's slabs have no free list");
  if (!cache_.btf->member(cache_.id, "offset")) throw Error(Errc::missing, "no layout for kmem_cache.offset");
}

const SlabUse::Cache& SlabUse::cache(VirtAddr at) {
  if (const auto known = caches_.find(at.value); known != caches_.end()) return known->second;
  Cache& out = caches_[at.value];
  out.pointer = types_.number({at, cache_}, "offset").value_or(0);
  // CONFIG_SLAB_FREELIST_HARDENED
  if (cache_.btf->member(cache_.id, "random")) out.random = types_.number({at, cache_}, "random");
  if (!cpu_ || !cache_.btf->member(cache_.id, "cpu_slab")) return out;
  const uint64_t percpu = types_.number({at, cache_}, "cpu_slab").value_or(0);
  if (percpu == 0) return out;
  const std::string_view slab_member = cpu_->btf->member(cpu_->id, "slab") ? "slab" : "page";
  for (unsigned cpu : cpu_mask(types_.kernel(), "__cpu_possible_mask").value_or(std::vector<unsigned>{})) {
    const auto offset = per_cpu_offset(types_.kernel(), cpu);
    if (!offset) continue;
    const TypedPlace place{{percpu + *offset}, *cpu_};
    const uint64_t first = types_.number(place, "freelist").value_or(0);
    const uint64_t slab = types_.number(place, slab_member).value_or(0);
    if (first == 0 || slab == 0) continue;
    const auto objects = list(out, first);
    if (objects) out.free_on_cpus += objects->size();
    out.on_cpus.emplace(slab, first);
  }
  return out;
}

// mm/slub.c freelist_ptr_decode(). Linux commit 1ad53d9fa3f6 ("slub: improve bit diffusion for freelist ptr
// obfuscation") (in v5.7) swaps the bytes of the address; which it is shows in what comes out.
std::optional<uint64_t> SlabUse::next_of(const Cache& cache, uint64_t object) {
  const uint64_t at = object + cache.pointer;
  const auto stored = types_.memory().u64({at});
  if (!stored) return std::nullopt;
  if (!cache.random) return *stored;
  const uint64_t start = types_.memory().layout().kernel_start;
  for (const uint64_t next : {*stored ^ *cache.random ^ byteswap(at), *stored ^ *cache.random ^ at}) {
    // In the linear map, and so in the same 2^40 bytes as this one.
    if (next == 0 || (next >= start && next >> 40 == object >> 40)) return next;
  }
  return std::nullopt;
}

std::optional<std::vector<uint64_t>> SlabUse::list(const Cache& cache, uint64_t first) {
  std::vector<uint64_t> out;
  std::unordered_set<uint64_t> seen;
  for (uint64_t at = first; at != 0;) {
    if (out.size() == most_objects || !seen.insert(at).second) return std::nullopt;
    out.push_back(at);
    const auto next = next_of(cache, at);
    if (!next) return std::nullopt;
    at = *next;
  }
  return out;
}

std::optional<bool> SlabUse::in_use(const SlabPages::Object& object) {
  // A list item: memory that cannot be read makes this one unknown.
  try {
    const Cache& of = cache(object.cache);
    std::vector<uint64_t> firsts{types_.number({object.slab, slab_}, "freelist").value_or(0)};
    const auto [begin, end] = of.on_cpus.equal_range(object.slab.value);
    for (auto it = begin; it != end; ++it) firsts.push_back(it->second);
    for (const uint64_t first : firsts) {
      const auto objects = list(of, first);
      if (!objects) return std::nullopt;
      if (std::ranges::find(*objects, object.at.value) != objects->end()) return false;
    }
    return true;
  } catch (const Error&) {
    return std::nullopt;
  }
}

uint64_t SlabUse::free_on_cpus(VirtAddr at) {
  return cache(at).free_on_cpus;
}

}  // namespace kdk
