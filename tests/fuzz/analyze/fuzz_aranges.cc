// .debug_aranges by itself: whatever it holds, the ranges that come out are sorted and none is empty.
#include <algorithm>

#include "analyze/symbols/aranges.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::vector<kdk::UnitRange> ranges = kdk::read_aranges({data, size});
  if (!std::ranges::is_sorted(ranges, {}, &kdk::UnitRange::begin)) __builtin_trap();
  for (const kdk::UnitRange& range : ranges) {
    if (range.begin >= range.end) __builtin_trap();
  }
  return 0;
}
