// Writer of kdump-compressed version 6 files, the format every reader of the field opens.
//
// The format lets page data lie anywhere: only the 24-byte descriptors are in PFN order. So the writer
// reserves the descriptor table for every page that will be written (known from `dumped` before the first
// byte), and data is appended by any thread at offsets claimed atomically. Descriptors are published only
// after their data; the header says INCOMPLETE until finish(). On a stream, where nothing can be written
// twice, the status is what is written last; until then the stream has no end mark, which says the same.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/base/bytes.h"
#include "core/base/file.h"
#include "core/base/types.h"
#include "core/formats/codec.h"
#include "core/formats/dump.h"
#include "core/formats/dump_output.h"
#include "core/formats/page_sink.h"

namespace kdk {

// Memory that is zero and costs nothing until it is written. Banks of RAM can be terabytes apart, and a
// bitmap across them must fit a crash kernel.
template <typename T>
struct LazyZeroAllocator {
  using value_type = T;
  T* allocate(size_t n) {
    void* memory = std::calloc(n, sizeof(T));
    if (memory == nullptr) throw std::bad_alloc();
    return static_cast<T*>(memory);
  }
  void deallocate(T* memory, size_t) noexcept { std::free(memory); }
  void construct(T*) noexcept {}  // zero already
  template <typename... Args>
  void construct(T* at, Args&&... args) {
    ::new (static_cast<void*>(at)) T(std::forward<Args>(args)...);
  }
  friend bool operator==(const LazyZeroAllocator&, const LazyZeroAllocator&) { return true; }
};

// A bit per page frame, LSB first in each byte, as in the file.
class PfnBitmap {
 public:
  explicit PfnBitmap(uint64_t pfns = 0) : bits_(pfns), words_((pfns + 63) / 64) {}
  uint64_t size() const { return bits_; }
  bool test(Pfn p) const { return p.value < bits_ && ((words_[p.value / 64] >> (p.value % 64)) & 1) != 0; }
  void set(Pfn p) { words_[p.value / 64] |= uint64_t{1} << (p.value % 64); }
  void clear(Pfn p) { words_[p.value / 64] &= ~(uint64_t{1} << (p.value % 64)); }
  // Half-open; clipped to size().
  void set_range(PfnRange range);
  void clear_range(PfnRange range);
  uint64_t count() const;
  uint64_t count_below(Pfn p) const;
  std::vector<PfnRange> ranges() const;  // the runs of set bits
  using Words = std::vector<uint64_t, LazyZeroAllocator<uint64_t>>;
  const Words& words() const { return words_; }

 private:
  uint64_t bits_;
  Words words_;
};

struct KdumpHeader {
  uint32_t page_size = 4096;
  // struct new_utsname strings (each cut to 64 bytes)
  std::string sysname = "Linux", nodename, release, version, machine, domainname;
  uint64_t crash_time = 0;  // seconds since the epoch (CRASHTIME)
  uint64_t phys_base = 0;
  int dump_level = 0;
  uint32_t codec_hint = 0;  // codec_flag() of the codec that will be used
  Bytes notes;              // raw PT_NOTE bytes; VMCOREINFO is found inside
  uint64_t end_pfn = 0;     // max_mapnr
  // This file is a part of a split set: descriptors and data for these page frames only.
  std::optional<PfnRange> part;
  // The file may not become larger, in bytes. Page data that does not fit is refused (PageSink::write).
  uint64_t max_bytes = std::numeric_limits<uint64_t>::max();
};

class KdumpWriter : public PageSink {
 public:
  // Writes header (INCOMPLETE), sub header, notes and both bitmaps to `output`, which is empty and must
  // outlive the writer. `name` is for messages. `ram`: pages that exist; `dumped`: subset whose descriptors
  // are reserved. Throws Error{io}, also when not even the descriptors fit `header.max_bytes` (EFBIG);
  // Error{unsupported} when it does not fit the format.
  KdumpWriter(DumpOutput& output, std::string name, const KdumpHeader& header, const PfnBitmap& ram,
              const PfnBitmap& dumped);

  uint64_t descriptors() const { return descriptor_count_; }
  uint64_t descriptor_offset() const { return descriptor_offset_; }  // file offset of the descriptor table

  // The data of the batch, then its descriptors.
  size_t write(const PageBatch& batch) override;
  bool shares(Pfn /*page*/, Pfn /*other*/) const override { return true; }

  // Claims `size` bytes of the data area for the caller, who then writes them. Thread-safe.
  uint64_t claim(uint64_t size) { return data_end_.fetch_add(size, std::memory_order_relaxed); }
  // Writes descriptors for consecutive descriptor indexes starting at `first` (index = pages of this file
  // below that PFN). Call after the data they point to is written. Thread-safe for disjoint ranges. Throws
  // Error{io}.
  void publish(uint64_t first, std::span<const PageLocation> locations);
  // A shared raw page of zeros in the data area, written at construction: what zero pages point to.
  PageLocation zero_page() const { return zero_page_; }
  // Bytes of the file so far (headers, table, claimed data).
  uint64_t size() const override;

  // Syncs, then clears INCOMPLETE (only when `complete`; else sets it, also after an earlier finish(true)
  // whose sync failed) and syncs again. A stream gets its status once: call it once. Throws Error{io}.
  void finish(bool complete) override;

 private:
  // The same for as many of the pages in front as fit; `size`: of all of them.
  struct Claim {
    uint64_t offset = 0;  // of the data, in the file
    uint64_t size = 0;    // bytes
    size_t pages = 0;
  };
  Claim claim_for(std::span<const PackedPage> pages, uint64_t size);

  DumpOutput& output_;
  std::string name_;
  const uint64_t max_bytes_;
  uint64_t first_descriptor_ = 0;  // pages of the dump before those of this file
  uint64_t descriptor_count_ = 0;
  uint64_t descriptor_offset_ = 0;
  std::atomic<uint64_t> data_end_ = 0;
  PageLocation zero_page_;
  uint32_t status_ = 0;
};

}  // namespace kdk
