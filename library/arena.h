// Results of the C interface: plain structs with everything they point to, in one allocation that grows and
// is freed as a whole.
#pragma once

#include <algorithm>
#include <cstring>
#include <memory>
#include <memory_resource>
#include <string_view>
#include <type_traits>
#include <vector>

#include "core/base/log.h"
#include "library/include/kdumpkit/kdumpkit.h"

namespace kdk {

class Arena {
 public:
  template <typename T>
  T& make() {
    static_assert(std::is_trivially_destructible_v<T>);
    return *new (memory_.allocate(sizeof(T), alignof(T))) T{};
  }
  // As it is, with a zero behind it.
  const char* raw(std::string_view text) {
    if (text.empty()) return "";
    char* copy = static_cast<char*>(memory_.allocate(text.size() + 1, 1));
    std::memcpy(copy, text.data(), text.size());
    copy[text.size()] = '\0';
    return copy;
  }
  // Escaping what is escaped already changes nothing.
  const char* text(std::string_view text) { return text.empty() ? "" : raw(escape_untrusted(text)); }

  template <typename T>
  const T* const* array(const std::vector<const T*>& items) {
    const T** copy = static_cast<const T**>(memory_.allocate(items.size() * sizeof(T*), alignof(T*)));
    std::copy(items.begin(), items.end(), copy);
    return copy;
  }
  template <typename Texts>
  kdumpkit_strings strings(const Texts& texts) {
    std::vector<const char*> items;
    for (const auto& each : texts) items.push_back(text(each));
    return {items.size(), array<char>(items)};
  }

 private:
  std::pmr::monotonic_buffer_resource memory_;
};

// What a kdumpkit_..._free() frees.
template <typename Public>
struct Owned final : Public {
  Owned() : Public{} {}
  Arena arena;

  // For structs that are lists.
  template <typename Item>
  void set_items(const std::vector<const Item*>& all) {
    this->count = all.size();
    this->items = arena.array(all);
  }
};

template <typename Public>
void free_owned(Public* result) {
  delete static_cast<Owned<Public>*>(result);
}

}  // namespace kdk
