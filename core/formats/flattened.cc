// A flattened stream seen as the file that it describes.
//
// The records are indexed once, so that every lookup is a binary search however many there are. Later records
// win, as they would if the stream were replayed into a file; places that no record covers read as zeros, as
// holes would. A stream that stops early or turns to nonsense is used up to there.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <limits>

#include "core/base/error.h"
#include "core/formats/extent_map.h"
#include "core/formats/kdump_format.h"
#include "core/formats/readers.h"

namespace kdk {
namespace {

class FlattenedSource : public ByteSource {
 public:
  FlattenedSource(std::unique_ptr<ByteSource> stream, ExtentMap records, uint64_t size)
      : stream_(std::move(stream)), records_(std::move(records)), size_(size) {}

  const std::string& name() const override { return stream_->name(); }
  uint64_t size() const override { return size_; }
  uint64_t stored_bytes() const override { return stream_->size(); }

  size_t read(uint64_t offset, MutableBytes out) const override {
    if (offset >= size_ || out.empty()) return 0;
    out = out.first(std::min<uint64_t>(out.size(), size_ - offset));
    uint64_t end = offset + out.size();
    const Extent* last = records_.extents().data() + records_.extents().size();
    uint64_t at = offset;
    for (const Extent* e = records_.find(offset); e != nullptr && e != last && e->begin < end; ++e) {
      uint64_t from = std::max(offset, e->begin), to = std::min(end, e->end);
      std::memset(out.data() + (at - offset), 0, from - at);
      size_t got = stream_->read(e->target + (from - e->begin), out.subspan(from - offset, to - from));
      if (got != to - from) return from - offset + got;
      at = to;
    }
    std::memset(out.data() + (at - offset), 0, end - at);
    return out.size();
  }

  std::optional<Bytes> view(uint64_t offset, uint64_t size) const override {
    const Extent* e = records_.find(offset);
    if (e == nullptr || offset < e->begin || size > e->end - offset) return std::nullopt;
    return stream_->view(e->target + (offset - e->begin), size);
  }

 private:
  std::unique_ptr<ByteSource> stream_;
  ExtentMap records_;  // offset in the described file -> offset in the stream, ranked by order
  uint64_t size_;
};

}  // namespace

std::unique_ptr<ByteSource> open_flattened(std::unique_ptr<ByteSource> stream,
                                           std::string& incomplete_reason) {
  std::array<uint8_t, sizeof(flattened::FileHeader)> raw{};
  read_exact(*stream, 0, raw, "the header of a flattened stream");
  flattened::FileHeader header = *load<flattened::FileHeader>(raw);
  if (header.type != 1 || header.version != 1) {
    throw Error(Errc::unsupported,
                fmt::format("{}: flattened stream of type {} and version {}: only 1 and 1 are known",
                            stream->name(), uint64_t{header.type}, uint64_t{header.version}));
  }

  constexpr uint64_t max_offset = std::numeric_limits<int64_t>::max();
  constexpr uint64_t end_mark = ~uint64_t{0};
  std::vector<Extent> records;
  uint64_t size = 0, at = flattened::header_size;
  for (;;) {
    std::array<uint8_t, sizeof(flattened::RecordHeader)> bytes{};
    if (stream->read(at, bytes) != bytes.size()) {
      incomplete_reason =
          fmt::format("the flattened stream ends at {:#x} without its end mark", stream->size());
      break;
    }
    flattened::RecordHeader record = *load<flattened::RecordHeader>(bytes);
    uint64_t offset = record.offset, length = record.size;
    if (offset == end_mark && length == end_mark) break;
    if (!in_bounds(max_offset, offset, length)) {
      incomplete_reason =
          fmt::format("the flattened stream is corrupt at {:#x}: record for offset {:#x}, size {:#x}", at,
                      offset, length);
      break;
    }
    at += sizeof(record);
    uint64_t there = std::min(length, stream->size() - at);
    if (there != 0) {
      records.push_back({offset, offset + there, at, records.size()});
      size = std::max(size, offset + there);
    }
    if (there != length) {
      incomplete_reason = fmt::format("the flattened stream ends at {:#x} inside a record", stream->size());
      break;
    }
    at += length;
  }
  return std::make_unique<FlattenedSource>(std::move(stream), ExtentMap(std::move(records)), size);
}

}  // namespace kdk
