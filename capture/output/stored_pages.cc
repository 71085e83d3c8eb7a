#include "capture/output/stored_pages.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "core/base/copy_pages.h"

namespace kdk {
namespace {

constexpr uint64_t odd = 0x9e3779b97f4a7c15;  // 2^64 over the golden ratio: bits well mixed
// Pages that are known at a time, 36 bytes each: 4.5 MiB, of which only what is used is touched.
constexpr uint64_t fewest = 1 << 10, most = 1 << 17;

}  // namespace

uint64_t page_hash(Bytes page) noexcept {
  constexpr size_t line = 64;
  // Four sums side by side, so that no multiplication waits for the one before it.
  uint64_t lanes[4] = {1, 2, 3, 4};
  for (size_t i = 0, n = 0; i + line <= page.size(); i += line, ++n) {
    // Other words in each line: with the same ones, a page of `struct page` (64 bytes) would be its flags
    // only.
    uint64_t first = 0, second = 0;
    prefetch_ahead(page.data() + i);
    std::memcpy(&first, page.data() + i + n % 8 * 8, 8);
    std::memcpy(&second, page.data() + i + (n + 3) % 8 * 8, 8);
    // The second is multiplied by itself, or a change of it would look like one of the word that is mixed in
    // next.
    lanes[n % 4] = std::rotl(lanes[n % 4] ^ first, 29) * odd + second * odd;
  }
  uint64_t hash = page.size();
  for (uint64_t lane : lanes) hash = std::rotl(hash ^ lane, 31) * odd;
  return hash ^ (hash >> 32);
}

StoredPages::StoredPages(uint64_t pages)
    : entries_(static_cast<size_t>(std::bit_ceil(std::clamp(pages, fewest, most)))),
      slots_(entries_.size()) {}

std::optional<StoredPages::Page> StoredPages::find(uint64_t hash) const {
  std::lock_guard lock(mutex_);
  const uint32_t place = slots_[slot(hash)];
  if (place == 0 || entries_[place - 1].hash != hash) return std::nullopt;
  return entries_[place - 1].page;
}

void StoredPages::add(uint64_t hash, const Page& page) {
  std::lock_guard lock(mutex_);
  entries_[next_] = {hash, page};
  next_ = (next_ + 1) & (entries_.size() - 1);
  slots_[slot(hash)] = static_cast<uint32_t>(next_ != 0 ? next_ : entries_.size());
}

}  // namespace kdk
