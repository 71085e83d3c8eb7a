#include "core/formats/ranked_bitmap.h"

namespace kdk {

RankedBitmap::RankedBitmap(std::vector<uint64_t> words, PfnRange range)
    : range_(range), base_(range.begin.value / 64 * 64), words_(std::move(words)) {
  words_.resize((range.end.value - base_ + 63) / 64);
  if (range.begin == range.end) return;
  words_.front() &= ~uint64_t{0} << (range.begin.value % 64);
  if (range.end.value % 64 != 0) words_.back() &= ~(~uint64_t{0} << (range.end.value % 64));
  block_ranks_.reserve(words_.size() / words_per_block + 1);
  for (std::size_t w = 0; w < words_.size(); ++w) {
    if (w % words_per_block == 0) block_ranks_.push_back(count_);
    count_ += static_cast<uint64_t>(std::popcount(words_[w]));
  }
}

std::vector<PfnRange> bitmap_ranges(const std::vector<uint64_t>& words) {
  std::vector<PfnRange> ranges;
  for (std::size_t w = 0; w < words.size(); ++w) {
    uint64_t bits = words[w], at = w * 64;
    while (bits != 0) {
      int skip = std::countr_zero(bits);
      bits >>= skip;
      at += static_cast<uint64_t>(skip);
      int length = std::countr_one(bits);
      PfnRange run{{at}, {at + static_cast<uint64_t>(length)}};
      if (!ranges.empty() && ranges.back().end == run.begin) {
        ranges.back().end = run.end;
      } else {
        ranges.push_back(run);
      }
      if (length == 64) break;
      bits >>= length;
      at += static_cast<uint64_t>(length);
    }
  }
  return ranges;
}

}  // namespace kdk
