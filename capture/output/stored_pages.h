// Pages of the dump that are stored already, found by content: a page that equals one of them needs no
// compression and no room, its descriptor points at what is there.
//
// The table finds candidates only; who asks compares the bytes. Its size is bounded, and a newer page takes
// the place of an older one, so a dump of any size costs the same memory and finds its duplicates among the
// pages written lately. On Debian's kernels 2 to 10 % of the pages of level 31 are such; they compress well,
// so they are only 1 % of its bytes.
#pragma once

#include <cstdint>
#include <mutex>
#include <optional>
#include <vector>

#include "core/base/bytes.h"
#include "core/base/types.h"
#include "core/formats/kdump_writer.h"
#include "core/formats/page_sink.h"

namespace kdk {

// Of a page (a multiple of 64 bytes), out of a quarter of its words, some of each cache line: hashing all of
// them was a twentieth of the time at level 31, and a collision costs a comparison only. Equal on every
// machine of one byte order.
uint64_t page_hash(Bytes page) noexcept;

// Thread-safe.
class StoredPages {
 public:
  struct Page {
    Pfn pfn;
    PageLocation at;
  };

  // `pages`: how many will be written.
  explicit StoredPages(uint64_t pages);
  // A page that probably has the content with this hash.
  std::optional<Page> find(uint64_t hash) const;
  // `page` is in the file, whole.
  void add(uint64_t hash, const Page& page);

 private:
  struct Entry {
    uint64_t hash;
    Page page;
  };
  size_t slot(uint64_t hash) const { return hash & (slots_.size() - 1); }

  mutable std::mutex mutex_;
  // In the order they came, then over again: only so much memory is touched as there are pages, and the table
  // that is looked at for every page fits a cache.
  std::vector<Entry, LazyZeroAllocator<Entry>> entries_;
  // By hash, one more than where the newest one is; 0: none. One that has been written over since is told by
  // its hash.
  std::vector<uint32_t, LazyZeroAllocator<uint32_t>> slots_;
  size_t next_ = 0;  // in entries_
};

}  // namespace kdk
