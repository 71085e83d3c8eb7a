#include "core/kernel/bucket_index.h"

#include <numeric>

namespace kdk {

BucketIndex::BucketIndex(std::span<const uint16_t> bucket_of, size_t buckets) : begin_(buckets + 1) {
  for (const uint16_t bucket : bucket_of) {
    if (bucket != none) ++begin_[bucket + size_t{1}];
  }
  std::partial_sum(begin_.begin(), begin_.end(), begin_.begin());
  items_.resize(begin_.back());
  std::vector<uint32_t> next(begin_.begin(), begin_.end() - 1);
  for (uint32_t i = 0; i < bucket_of.size(); ++i) {
    if (bucket_of[i] != none) items_[next[bucket_of[i]]++] = i;
  }
}

}  // namespace kdk
