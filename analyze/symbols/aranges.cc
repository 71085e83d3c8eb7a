#include "analyze/symbols/aranges.h"

#include <algorithm>

namespace kdk {
namespace {

constexpr size_t max_ranges = 1'000'000;  // stock kernels have some 10,000

// What a set begins with: its length says whether offsets have 32 or 64 bits (DWARF 5 section 7.4).
struct Head32 {
  ul32 length;
  ul16 version;
  ul32 unit;
  uint8_t address_size, segment_size;
};
struct Head64 {
  ul32 escape;
  ul64 length;
  ul16 version;
  ul64 unit;
  uint8_t address_size, segment_size;
};
struct Tuple {
  ul64 address, length;
};

struct Set {
  uint64_t end = 0, tuples = 0;  // offsets in the section
  uint64_t unit = 0;
  bool known = false;
};

template <typename Head>
Set set_of(const Head& head, uint64_t begin, uint64_t after_length, uint64_t section_size) {
  Set set;
  set.end = after_length + std::min<uint64_t>(head.length, section_size - after_length);
  // Tuples are aligned to their own size, counted from the set's beginning.
  set.tuples = begin + align_up(sizeof(Head), sizeof(Tuple));
  set.unit = head.unit;
  set.known = head.version == 2 && head.address_size == sizeof(ul64) && head.segment_size == 0;
  return set;
}

}  // namespace

std::vector<UnitRange> read_aranges(Bytes section) {
  std::vector<UnitRange> ranges;
  for (uint64_t at = 0; at < section.size();) {
    const auto short_head = load<Head32>(section, at);
    if (!short_head) break;
    Set set;
    if (short_head->length == 0xffffffff) {
      const auto head = load<Head64>(section, at);
      if (!head) break;
      set = set_of(*head, at, at + 12, section.size());
    } else {
      set = set_of(*short_head, at, at + 4, section.size());
    }
    at = set.end;
    if (!set.known) continue;
    for (uint64_t tuple = set.tuples; tuple < set.end && in_bounds(set.end, tuple, sizeof(Tuple));
         tuple += sizeof(Tuple)) {
      const Tuple range = *load<Tuple>(section, tuple);
      const auto end = checked_add(range.address, range.length);
      if (range.length == 0 || !end) continue;  // the last of a set is empty
      if (ranges.size() == max_ranges) break;
      ranges.push_back({range.address, *end, set.unit});
    }
  }
  std::ranges::stable_sort(ranges, {}, &UnitRange::begin);
  return ranges;
}

}  // namespace kdk
