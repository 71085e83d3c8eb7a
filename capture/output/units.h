// Hands out the pages of a dump to workers, some hundred at a time, in the order that filter/page_order.h
// describes.
#pragma once

#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "capture/filter/page_order.h"
#include "core/base/types.h"
#include "core/formats/kdump_writer.h"

namespace kdk {

// A run of pages that are written together: all of one group, ascending.
struct Unit {
  size_t group = 0;
  std::vector<Pfn> pages;
  std::vector<uint64_t> indexes;  // beside `pages`: how many pages of the dump come before each
};

class Units {
 public:
  struct Group {
    std::string name;
    uint64_t pages = 0;
  };

  // `bits`: pages to be written, all in `ram` (sorted, disjoint). All must outlive this.
  Units(const PfnBitmap& bits, const std::vector<PfnRange>& ram, const PageOrder& order,
        size_t pages_per_unit);

  // False when all are taken. Thread-safe.
  bool next(Unit& unit);
  const std::vector<Group>& groups() const { return groups_; }
  uint64_t total() const { return total_; }

 private:
  // Words of the bitmap, [begin, end), and how many pages come before them. Between spans there is no RAM.
  struct Span {
    size_t begin = 0, end = 0;
    uint64_t before = 0;
  };
  void find_spans(const std::vector<PfnRange>& ram);
  void count_groups();
  void fill_from_ranges(Unit& unit, const std::vector<PfnRange>& ranges);
  void fill_from_blocks(Unit& unit, size_t group);
  void next_group();
  // The bits of a word that no group of ranges has. Words come in ascending order until rewind_rest().
  uint64_t rest_of(size_t word);
  void rewind_rest() { head_at_ = 0; }
  uint64_t index_of(Pfn pfn);
  size_t block_group(size_t word) const {
    if (word >= order_.block_group.size() || order_.block_group[word] >= order_.rest.size()) return 0;
    return order_.block_group[word];
  }
  void take(Unit& unit, Pfn pfn) {
    unit.pages.push_back(pfn);
    unit.indexes.push_back(index_of(pfn));
  }

  const PfnBitmap& bits_;
  const PageOrder& order_;
  const size_t pages_per_unit_;
  std::vector<Span> spans_;
  std::vector<PfnRange> head_;  // all groups of ranges together, sorted
  std::vector<Group> groups_;
  uint64_t total_ = 0;

  std::mutex mutex_;
  size_t group_ = 0;
  // Where this group goes on: a range and a page in it, or a span and a word in it.
  size_t at_ = 0;
  std::optional<Pfn> pfn_;
  size_t word_ = 0;
  uint64_t taken_ = 0;  // bits of that word that were handed out
  size_t head_at_ = 0;  // of head_, for rest_of()
  // Where index_of() stands: pages before `index_word_` of a span.
  size_t index_span_ = 0, index_word_ = 0;
  uint64_t index_before_ = 0;
};

}  // namespace kdk
