#include "capture/output/stored_pages.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace kdk {
namespace {

constexpr uint64_t odd = 0x9e3779b97f4a7c15;  // 2^64 over the golden ratio: bits well mixed
// 32 bytes each: 4 MiB, of which only what is used is touched.
constexpr uint64_t fewest = 1 << 10, most = 1 << 17;

}  // namespace

uint64_t page_hash(Bytes page) noexcept {
  // Eight sums side by side, so that no multiplication waits for the one before it.
  uint64_t lanes[8] = {1, 2, 3, 4, 5, 6, 7, 8};
  for (size_t i = 0; i + sizeof lanes <= page.size(); i += sizeof lanes) {
    uint64_t words[8];
    std::memcpy(words, page.data() + i, sizeof words);
    for (int lane = 0; lane < 8; ++lane) lanes[lane] = std::rotl(lanes[lane] ^ words[lane], 29) * odd;
  }
  uint64_t hash = page.size();
  for (uint64_t lane : lanes) hash = std::rotl(hash ^ lane, 31) * odd;
  return hash ^ (hash >> 32);
}

StoredPages::StoredPages(uint64_t pages)
    : entries_(static_cast<size_t>(std::bit_ceil(std::clamp(std::min(pages, most) * 2, fewest, most)))) {}

std::optional<StoredPages::Page> StoredPages::find(uint64_t hash) const {
  std::lock_guard lock(mutex_);
  const Entry& entry = entries_[slot(hash)];
  if (entry.page.at.size == 0 || entry.hash != hash) return std::nullopt;
  return entry.page;
}

void StoredPages::add(uint64_t hash, const Page& page) {
  std::lock_guard lock(mutex_);
  entries_[slot(hash)] = {hash, page};
}

}  // namespace kdk
