// All objects of a slab cache, those that are free as well: what they held is still there.
#include <fmt/format.h>

#include "capture/scrub/eraser.h"
#include "core/kernel/slab_pages.h"
#include "core/base/error.h"

namespace kdk {

void scrub_cache(const ScrubRule& rule, Eraser& eraser) {
  TypedMemory& types = eraser.types();
  VirtAddr cache;
  if (rule.cache_variable.empty()) {
    cache = find_slab_cache(types, rule.cache);
  } else {
    const auto pointer = types.memory().pointer(types.variable(rule.cache_variable).at.front());
    if (!pointer || pointer->value == 0)
      throw Error(Errc::missing, fmt::format("{} points to no slab cache", rule.cache_variable));
    cache = *pointer;
  }
  std::optional<TypeRef> element;
  if (!rule.element.empty()) element = types.require_type(rule.element);
  SlabPages slabs(types);
  const uint64_t unreadable = slabs.for_each(cache, [&](const SlabPages::Object& object) {
    return eraser.item([&] {
      if (element && !(rule.member.empty() && !rule.length && rule.length_member.empty())) {
        eraser.erase_member(rule, {object.at, *element});
      } else {
        ++eraser.result().places;
        eraser.erase(object.at, object.size);
      }
    });
  });
  if (unreadable != 0) eraser.problem(fmt::format("{} struct pages cannot be read", unreadable));
}

}  // namespace kdk
