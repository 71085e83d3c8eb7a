// What the fuzz targets of the page-table walks share.
#pragma once

#include <cstdlib>

#include "core/arch/arch.h"

namespace kdk::fuzz {

inline void check(bool ok) {
  if (!ok) std::abort();
}

// The input's bytes as physical memory, repeated without end, so that every table address leads to table
// bytes and walks go deep.
class RepeatedMemory : public PhysReader {
 public:
  explicit RepeatedMemory(Bytes bytes) : bytes_(bytes) {}
  bool read_phys(PhysAddr address, MutableBytes out) noexcept override {
    // A part that cannot be read, so that walks end there too.
    if (bytes_.empty() || address.value >> 44 == 0xbad) return false;
    for (size_t i = 0; i < out.size(); ++i) out[i] = bytes_[(address.value + i) % bytes_.size()];
    return true;
  }

 private:
  Bytes bytes_;
};

inline void check_translation(Translator& translator, uint64_t va) {
  const Translation t = translator.translate({va});
  if (!t) return;
  check(t.contiguous > 0 && t.contiguous <= uint64_t{1} << 42);
  check(t.pa.value >> translator.layout().pa_bits == 0);
  const Translation last = translator.translate({va + t.contiguous - 1});
  check(last && last.pa.value == t.pa.value + t.contiguous - 1);
}

// The walk promises to end by itself; one table of entries that all lead to distinct tables is what can be
// large.
inline void check_walk(Translator& translator) {
  uint64_t visits = 0, last = 0;
  translator.walk_tables([&](const Translator::TableEntry& entry) {
    check(entry.size != 0 && entry.va.value >= translator.layout().kernel_start && entry.va.value >= last);
    last = entry.va.value;
    return ++visits < 2000;
  });
}

}  // namespace kdk::fuzz
