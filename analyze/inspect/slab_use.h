// Which objects of SLUB are free: those on the free lists of their slab and of the CPU that allocates from
// it. Source: mm/slub.c. Objects that a CPU keeps ready in sheaves (v6.18 and later) count as in use.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/kernel/slab_pages.h"

namespace kdk {

class SlabUse {
 public:
  // Throws Error{missing} without the layouts it needs.
  explicit SlabUse(TypedMemory& types);

  // nullopt: the free lists cannot be followed.
  std::optional<bool> in_use(const SlabPages::Object& object);
  // Objects on the free lists of CPUs, which a slab's own count has as in use.
  uint64_t free_on_cpus(VirtAddr cache);

 private:
  struct Cache {
    uint64_t pointer = 0;  // of the next free object, from the start of one
    std::optional<uint64_t> random;
    // struct slab -> first free object on the list of a CPU that allocates from it
    std::multimap<uint64_t, uint64_t> on_cpus;
    uint64_t free_on_cpus = 0;
  };
  const Cache& cache(VirtAddr at);
  // Objects from `first` on; nullopt when the list leads astray.
  std::optional<std::vector<uint64_t>> list(const Cache& cache, uint64_t first);
  std::optional<uint64_t> next_of(const Cache& cache, uint64_t object);

  TypedMemory& types_;
  TypeRef cache_, slab_;
  std::optional<TypeRef> cpu_;
  std::map<uint64_t, Cache> caches_;
};

}  // namespace kdk
