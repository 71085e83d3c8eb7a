// A slice of a page bitmap that can count: how many pages come before this one? Constant time, by a running
// count per 512 bits, since that number is the index of every page's descriptor.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/base/types.h"

namespace kdk {

class RankedBitmap {
 public:
  RankedBitmap() = default;
  // `words`: bits of the page frames from `range.begin` rounded down to a multiple of 64. Bits outside
  // `range` are cleared.
  RankedBitmap(std::vector<uint64_t> words, PfnRange range);

  PfnRange range() const { return range_; }
  uint64_t count() const { return count_; }
  bool test(Pfn pfn) const {
    if (!range_.contains(pfn)) return false;
    uint64_t bit = pfn.value - base_;
    return ((words_[bit / 64] >> (bit % 64)) & 1) != 0;
  }
  // Set bits in [range().begin, pfn), for a pfn inside the range.
  uint64_t rank(Pfn pfn) const {
    uint64_t bit = pfn.value - base_, word = bit / 64;
    uint64_t n = block_ranks_[word / words_per_block];
    for (uint64_t w = word - word % words_per_block; w < word; ++w)
      n += static_cast<uint64_t>(std::popcount(words_[w]));
    return n + static_cast<uint64_t>(std::popcount(words_[word] & ((uint64_t{1} << (bit % 64)) - 1)));
  }

 private:
  static constexpr uint64_t words_per_block = 8;

  PfnRange range_{};
  uint64_t base_ = 0;  // page frame of bit 0
  uint64_t count_ = 0;
  std::vector<uint64_t> words_;
  std::vector<uint64_t> block_ranks_;
};

// The runs of set bits as page frame ranges; bit 0 is page frame 0.
std::vector<PfnRange> bitmap_ranges(const std::vector<uint64_t>& words);

}  // namespace kdk
