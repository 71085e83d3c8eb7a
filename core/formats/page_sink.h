// Takes pages that were read and compressed, and puts them into a dump file: what every writer of a dump
// format is to the code that produces pages.
//
// Pages come in batches of about a MiB, so a virtual call and a lock per batch cost nothing, and a batch can
// be one write. Batches come in any order, the most useful pages first.
#pragma once

#include <cstdint>
#include <span>

#include "core/base/bytes.h"
#include "core/base/types.h"

namespace kdk {

// Where one page's bytes are in the file.
struct PageLocation {
  uint64_t offset = 0;
  uint32_t size = 0;
  uint32_t flags = 0;  // codec_flag()
};

struct PackedPage {
  enum class Kind : uint8_t {
    lost,  // could not be read
    zero,
    data,
    repeat,  // equals an earlier page of kind data in its batch
    stored,  // equals a page of an earlier batch
  };
  Kind kind = Kind::lost;
  uint32_t size = 0;     // data: of its data, bytes; 0 for all other kinds
  uint32_t flags = 0;    // data: codec_flag()
  uint32_t back = 0;     // repeat: how many pages before this one it is
  PageLocation at = {};  // stored: as the sink placed it
};

struct PageBatch {
  std::span<const Pfn> pfns;          // ascending; there may be other pages of the dump between them
  std::span<const uint64_t> indexes;  // beside `pfns`: how many pages of the dump come before this one
  std::span<const PackedPage> pages;  // beside `pfns`
  Bytes data;                         // of the pages of kind data, one behind the other
  // Beside `pfns`: the sink says where each page is, once it is there. Empty: nobody asks.
  std::span<PageLocation> placed = {};
};

class PageSink {
 public:
  virtual ~PageSink() = default;
  // Thread-safe for disjoint batches. Returns how many of the batch's pages are in the file: less than all
  // only when the file may not become larger, and then it is those in front. When it throws Error{io}, the
  // batch counts as not written.
  virtual size_t write(const PageBatch& batch) = 0;
  // False: pages must come uncompressed (Codec::none).
  virtual bool compressed() const { return true; }
  // Whether `other` may be of kind repeat or stored when its bytes are those of `page`.
  virtual bool shares(Pfn /*page*/, Pfn /*other*/) const { return false; }
  // Everything is written, or nothing more will come. `complete` false: the file says that something is
  // missing. Waits for the medium. Throws Error{io}; may be called again, as finish(false).
  virtual void finish(bool complete) = 0;
  // Bytes of the dump so far.
  virtual uint64_t size() const = 0;
  // Pages that were written but that finish() could not describe any more; they are as good as lost.
  virtual uint64_t left_out() const { return 0; }
};

}  // namespace kdk
