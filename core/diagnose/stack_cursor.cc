#include "core/diagnose/stack_cursor.h"

#include <fmt/format.h>

#include <algorithm>

namespace kdk {
namespace {

// Bounds of a stack nobody told us about: what is mapped around the address, at most this far each way.
// THREAD_SIZE is at most 64 KiB, doubled by KASAN.
constexpr uint64_t max_inferred_stack = 128 << 10;
constexpr size_t max_inferred_stacks = 8;

bool contains(const StackRange& range, uint64_t address) {
  return address >= range.low && address < range.high;
}

}  // namespace

const StackRange& StackCursor::stack() const {
  static const StackRange none;
  return entered_.empty() ? none : entered_.back();
}

bool StackCursor::ahead(uint64_t address, uint64_t size) const {
  return address >= position_ && address < stack().high && size <= stack().high - address;
}

std::optional<std::string> StackCursor::consume(uint64_t address, uint64_t size) {
  if (address >= position_ && contains(stack(), address)) {
    if (size > stack().high - address) return "runs over the end of its stack";
    position_ = address + size;
    return std::nullopt;
  }
  for (const StackRange& range : entered_) {
    if (contains(range, address)) return fmt::format("leads back into the {} stack", range.name);
  }
  auto known = std::find_if(unused_.begin(), unused_.end(),
                            [&](const StackRange& range) { return contains(range, address); });
  std::optional<StackRange> range = known != unused_.end() ? *known : infer(address);
  if (!range) return "is outside every known stack";
  if (size > range->high - address) return "runs over the end of its stack";
  if (known != unused_.end()) unused_.erase(known);
  entered_.push_back(*range);
  position_ = address + size;
  return std::nullopt;
}

// Stacks of VMAP_STACK kernels have unmapped guard pages, so what is mapped around the address is the stack.
// Elsewhere (linear map) the range is only a bound.
std::optional<StackRange> StackCursor::infer(uint64_t address) {
  if (inferred_ >= max_inferred_stacks) return std::nullopt;
  uint64_t page = std::max<uint64_t>(memory_->page_size(), 4096);
  uint64_t low = align_down(address, page);
  if (!memory_->translate(VirtAddr{low})) return std::nullopt;
  ++inferred_;
  uint64_t high = low + page;
  uint64_t lowest = low >= max_inferred_stack ? low - max_inferred_stack : 0;
  uint64_t highest = checked_add(high, max_inferred_stack).value_or(high);
  while (low > lowest && memory_->translate(VirtAddr{low - page})) low -= page;
  while (high < highest && memory_->translate(VirtAddr{high})) high += page;
  return StackRange{low, high, "?"};
}

std::string StackCursor::name_of(uint64_t address) const {
  for (const auto* ranges : {&unused_, &entered_}) {
    for (const StackRange& range : *ranges) {
      if (contains(range, address)) return range.name;
    }
  }
  return "?";
}

}  // namespace kdk
