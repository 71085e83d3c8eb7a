#include "core/kernel/bucket_index.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace kdk {
namespace {

constexpr uint16_t none = BucketIndex::none;

TEST(BucketIndex, ItemsOfABucketInTheirOrder) {
  const std::vector<uint16_t> bucket_of = {2, 0, none, 2, 3, 0, 2};
  const BucketIndex index(bucket_of, 4);
  EXPECT_TRUE(std::ranges::equal(index.in(0), std::vector<uint32_t>{1, 5}));
  EXPECT_TRUE(index.in(1).empty());
  EXPECT_TRUE(std::ranges::equal(index.in(2), std::vector<uint32_t>{0, 3, 6}));
  EXPECT_TRUE(std::ranges::equal(index.in(3), std::vector<uint32_t>{4}));
  EXPECT_TRUE(index.in(4).empty());
}

TEST(BucketIndex, OfNothing) {
  const BucketIndex unbuilt;
  EXPECT_FALSE(unbuilt.built());
  EXPECT_TRUE(unbuilt.in(0).empty());
  const BucketIndex empty({}, 8);
  EXPECT_TRUE(empty.built());
  EXPECT_TRUE(empty.in(7).empty());
  const std::vector<uint16_t> left_out = {none, none};
  EXPECT_TRUE(BucketIndex(left_out, 1).in(0).empty());
}

}  // namespace
}  // namespace kdk
