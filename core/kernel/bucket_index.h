// Which items of a list have a hash: for look-ups by name in tables of a hundred thousand names that are
// not unpacked.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace kdk {

// Built in two passes, without sorting.
class BucketIndex {
 public:
  static constexpr uint16_t none = 0xffff;  // the bucket of items that are left out

  BucketIndex() = default;
  // `bucket_of`: of each item below 2^32, a number below `buckets` or none. `buckets` is at most 2^15.
  BucketIndex(std::span<const uint16_t> bucket_of, size_t buckets);

  // The items of a bucket, ascending. Nothing when no index was built.
  std::span<const uint32_t> in(size_t bucket) const {
    if (bucket + 1 >= begin_.size()) return {};
    return std::span(items_).subspan(begin_[bucket], begin_[bucket + 1] - begin_[bucket]);
  }
  bool built() const { return !begin_.empty(); }

 private:
  std::vector<uint32_t> items_;  // those of bucket b: [begin_[b], begin_[b + 1])
  std::vector<uint32_t> begin_;
};

}  // namespace kdk
