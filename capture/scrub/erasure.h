// The bytes of a dump that are to be erased, by page frame, and the dump as it looks without them.
//
// Erasing acts on pages and not on addresses: memory that is mapped twice (the kernel image is in the linear
// map as well) is one page of the dump, and every way to it shows the same. The scrubbed dump is a Dump like
// any other, so that compression, deduplication and all output formats see erased bytes and nothing else.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "core/formats/dump.h"

namespace kdk {

class Erasure {
 public:
  // What stands in place of erased data, as makedumpfile has it; a pointer that is nullified becomes zeros.
  static constexpr uint8_t filler = 'X';

  struct Piece {
    uint32_t offset = 0;  // in the page
    uint32_t size = 0;
    uint8_t fill = filler;
  };

  explicit Erasure(uint32_t page_size) : page_size_(page_size) {}

  // False when there are too many pieces already: a bound on memory, a million and more.
  [[nodiscard]] bool add(PhysAddr at, uint64_t size, uint8_t fill = filler);
  bool empty() const { return pages_.empty(); }
  // nullptr: nothing of this page is erased.
  const std::vector<Piece>* pieces(Pfn pfn) const;
  const std::map<Pfn, std::vector<Piece>>& pages() const { return pages_; }
  // How many bytes of a page are erased; each counts once.
  uint64_t bytes_of(const std::vector<Piece>& pieces) const;

 private:
  const uint32_t page_size_;
  uint64_t count_ = 0;
  std::map<Pfn, std::vector<Piece>> pages_;
};

// `dump` and `erasure` must outlive it.
std::unique_ptr<Dump> scrubbed_dump(const Dump& dump, const Erasure& erasure);

}  // namespace kdk
