#include "capture/output/units.h"

#include <algorithm>
#include <bit>

namespace kdk {
namespace {

uint64_t ones(uint64_t word) {
  return static_cast<uint64_t>(std::popcount(word));
}

// Bits [begin, end) of a word, 0 <= begin < end <= 64.
uint64_t mask(uint64_t begin, uint64_t end) {
  return (~uint64_t{0} >> (64 - (end - begin))) << begin;
}

}  // namespace

Units::Units(const PfnBitmap& bits, const std::vector<PfnRange>& ram, const PageOrder& order,
             size_t pages_per_unit)
    : bits_(bits), order_(order), pages_per_unit_(pages_per_unit) {
  for (const PageOrder::Group& group : order.first) {
    groups_.push_back({group.name, 0});
    head_.insert(head_.end(), group.ranges.begin(), group.ranges.end());
  }
  std::ranges::sort(head_);
  for (const std::string& name : order.rest) groups_.push_back({name, 0});
  if (order.rest.empty()) groups_.push_back({"pages", 0});
  find_spans(ram);
  count_groups();
  if (!spans_.empty()) {
    index_word_ = word_ = spans_.front().begin;
  }
}

void Units::find_spans(const std::vector<PfnRange>& ram) {
  const PfnBitmap::Words& words = bits_.words();
  for (const PfnRange& range : ram) {
    const size_t begin = static_cast<size_t>(range.begin.value / 64);
    const size_t end = std::min<size_t>((range.end.value + 63) / 64, words.size());
    if (!spans_.empty() && begin <= spans_.back().end) {
      spans_.back().end = std::max(spans_.back().end, end);
    } else if (begin < end) {
      spans_.push_back({begin, end, 0});
    }
  }
  for (Span& span : spans_) {
    span.before = total_;
    for (size_t word = span.begin; word < span.end; ++word) total_ += ones(words[word]);
  }
  if (!spans_.empty()) index_before_ = spans_.front().before;
}

void Units::count_groups() {
  const size_t ranges = order_.first.size();
  for (size_t g = 0; g < ranges; ++g) {
    for (const PfnRange& range : order_.first[g].ranges) {
      for (Pfn pfn = range.begin; pfn < range.end; pfn = pfn + 1) groups_[g].pages += bits_.test(pfn);
    }
  }
  for (const Span& span : spans_) {
    for (size_t word = span.begin; word < span.end; ++word)
      groups_[ranges + block_group(word)].pages += ones(rest_of(word));
  }
  rewind_rest();
}

uint64_t Units::rest_of(size_t word) {
  uint64_t rest = bits_.words()[word];
  const uint64_t begin = uint64_t{word} * 64, end = begin + 64;
  while (head_at_ < head_.size() && head_[head_at_].end.value <= begin) ++head_at_;
  for (size_t h = head_at_; h < head_.size() && head_[h].begin.value < end; ++h) {
    const uint64_t from = std::max(head_[h].begin.value, begin), to = std::min(head_[h].end.value, end);
    rest &= ~mask(from - begin, to - begin);
  }
  return rest;
}

uint64_t Units::index_of(Pfn pfn) {
  const size_t word = static_cast<size_t>(pfn.value / 64);
  if (word < index_word_ || word >= spans_[index_span_].end) {
    const auto after = std::ranges::upper_bound(spans_, word, {}, &Span::begin);
    index_span_ = static_cast<size_t>(after - spans_.begin()) - 1;
    index_word_ = spans_[index_span_].begin;
    index_before_ = spans_[index_span_].before;
  }
  const PfnBitmap::Words& words = bits_.words();
  for (; index_word_ < word; ++index_word_) index_before_ += ones(words[index_word_]);
  const unsigned bit = static_cast<unsigned>(pfn.value % 64);
  return index_before_ + ones(words[word] & ((uint64_t{1} << bit) - 1));
}

void Units::next_group() {
  ++group_;
  at_ = 0;
  pfn_.reset();
  word_ = spans_.empty() ? 0 : spans_.front().begin;
  taken_ = 0;
  rewind_rest();
}

bool Units::next(Unit& unit) {
  std::lock_guard lock(mutex_);
  unit.pages.clear();
  unit.indexes.clear();
  for (; group_ < groups_.size(); next_group()) {
    if (groups_[group_].pages == 0) continue;
    unit.group = group_;
    if (group_ < order_.first.size())
      fill_from_ranges(unit, order_.first[group_].ranges);
    else
      fill_from_blocks(unit, group_ - order_.first.size());
    if (!unit.pages.empty()) return true;
  }
  return false;
}

// In small units: workers are at several at the same time, and where a dump is cut, one unit may be in it
// that should have come after one that is not.
void Units::fill_from_ranges(Unit& unit, const std::vector<PfnRange>& ranges) {
  const size_t most = std::min<size_t>(pages_per_unit_, 64);
  for (; at_ < ranges.size(); ++at_, pfn_.reset()) {
    Pfn pfn = pfn_.value_or(ranges[at_].begin);
    for (; pfn < ranges[at_].end; pfn = pfn + 1) {
      if (!bits_.test(pfn)) continue;
      if (unit.pages.size() == most) {
        pfn_ = pfn;
        return;
      }
      take(unit, pfn);
    }
  }
}

void Units::fill_from_blocks(Unit& unit, size_t group) {
  while (at_ < spans_.size()) {
    for (; word_ < spans_[at_].end; ++word_, taken_ = 0) {
      if (block_group(word_) != group) continue;
      uint64_t rest = rest_of(word_) & ~taken_;
      for (; rest != 0; rest &= rest - 1) {
        if (unit.pages.size() == pages_per_unit_) return;
        const unsigned bit = static_cast<unsigned>(std::countr_zero(rest));
        take(unit, {uint64_t{word_} * 64 + bit});
        taken_ |= uint64_t{1} << bit;
      }
    }
    if (++at_ < spans_.size()) word_ = spans_[at_].begin;
  }
}

}  // namespace kdk
