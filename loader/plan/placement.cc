#include "loader/plan/placement.h"

#include <fmt/format.h>

#include "core/base/bytes.h"
#include "core/base/error.h"

namespace kdk {

void throw_no_room(const Range& region, std::string_view name, uint64_t size) {
  throw Error(Errc::unsupported, fmt::format("the crash region {} ({} MiB) has no room for the {} ({} KiB)",
                                             to_string(region), region.size >> 20, name, size >> 10))
      .with_hint("boot with a larger crashkernel=");
}

uint64_t Placer::from_bottom(std::string_view name, uint64_t size, uint64_t alignment, uint64_t offset) {
  uint64_t start = align_up(bottom_, alignment) + offset;
  if (start < bottom_ || !in_bounds(top_, start, size)) throw_no_room(region_, name, size);
  bottom_ = start + size;
  return start;
}

uint64_t Placer::from_top(std::string_view name, uint64_t size, uint64_t alignment) {
  if (!fits_top(size, alignment)) throw_no_room(region_, name, size);
  top_ = align_down(top_ - size, alignment);
  return top_;
}

bool Placer::fits_top(uint64_t size, uint64_t alignment) const {
  return in_bounds(top_, bottom_, size) && align_down(top_ - size, alignment) >= bottom_;
}

}  // namespace kdk
