#include "capture/filter/pins.h"

#include <gtest/gtest.h>

namespace kdk {
namespace {

std::vector<PfnRange> ranges(std::initializer_list<std::pair<uint64_t, uint64_t>> list) {
  std::vector<PfnRange> out;
  for (const auto& [begin, end] : list) out.push_back({{begin}, {end}});
  return out;
}

TEST(MergeRanges, SortsMergesAndClips) {
  const std::vector<PfnRange> ram = ranges({{10, 20}, {30, 40}});
  EXPECT_EQ(merge_ranges(ranges({{12, 14}}), ram), ranges({{12, 14}}));
  EXPECT_EQ(merge_ranges(ranges({{14, 16}, {12, 14}}), ram), ranges({{12, 16}}));
  EXPECT_EQ(merge_ranges(ranges({{11, 15}, {12, 13}, {14, 18}}), ram), ranges({{11, 18}}));
  EXPECT_EQ(merge_ranges(ranges({{0, 100}}), ram), ram);
  EXPECT_EQ(merge_ranges(ranges({{0, 12}, {0, 35}, {38, 50}}), ram), ranges({{10, 20}, {30, 35}, {38, 40}}));
  EXPECT_EQ(merge_ranges(ranges({{20, 30}, {40, 50}}), ram), ranges({}));
  EXPECT_EQ(merge_ranges(ranges({{12, 14}}), {}), ranges({}));
}

}  // namespace
}  // namespace kdk
