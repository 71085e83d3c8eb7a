// Handing out the main crash region to segments.
#pragma once

#include <string_view>

#include "loader/machine/memory_map.h"

namespace kdk {

// Error{unsupported}: `region` cannot hold `size` bytes of `name`.
[[noreturn]] void throw_no_room(const Range& region, std::string_view name, uint64_t size);

// Our own placement for kexec_load: large things from the bottom, small ones from the top.
class Placer {
 public:
  explicit Placer(const Range& region) : region_(region), bottom_(region.start), top_(region.end()) {}

  // The address of `size` bytes at a multiple of `alignment` plus `offset`. Throws Error{unsupported} when
  // there is no room.
  uint64_t from_bottom(std::string_view name, uint64_t size, uint64_t alignment, uint64_t offset = 0);
  uint64_t from_top(std::string_view name, uint64_t size, uint64_t alignment);
  bool fits_top(uint64_t size, uint64_t alignment) const;  // from_top would not throw

 private:
  Range region_;
  uint64_t bottom_;
  uint64_t top_;
};

}  // namespace kdk
