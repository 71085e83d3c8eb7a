#include "core/formats/flattened_replay.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <vector>

#include "core/base/error.h"
#include "core/formats/kdump_format.h"

namespace kdk {

Replayed replay_flattened(const StreamReader& read, const std::string& name, DumpOutput& output) {
  std::vector<uint8_t> buffer(uint64_t{1} << 20);
  const MutableBytes head = MutableBytes(buffer).first(flattened::header_size);
  const size_t got = read(head);
  const std::string_view start = as_text(Bytes(head).first(got));
  if (got != head.size() || !start.starts_with(flattened::signature)) {
    throw Error(Errc::format, name + ": not a flattened stream");
  }
  const flattened::FileHeader header = *load<flattened::FileHeader>(head);
  if (header.type != 1 || header.version != 1) {
    throw Error(Errc::unsupported,
                fmt::format("{}: flattened stream of type {} and version {}: only 1 and 1 are known", name,
                            uint64_t{header.type}, uint64_t{header.version}));
  }

  constexpr uint64_t max_offset = std::numeric_limits<int64_t>::max(), end_mark = ~uint64_t{0};
  Replayed result;
  uint64_t at = flattened::header_size;
  for (;;) {
    std::array<uint8_t, sizeof(flattened::RecordHeader)> raw{};
    if (read(raw) != raw.size()) {
      result.incomplete_reason = "the flattened stream ends without its end mark";
      return result;
    }
    const flattened::RecordHeader record = *load<flattened::RecordHeader>(raw);
    uint64_t offset = record.offset, left = record.size;
    if (offset == end_mark && left == end_mark) return result;
    if (!in_bounds(max_offset, offset, left)) {
      result.incomplete_reason = fmt::format(
          "the flattened stream is corrupt at {:#x}: record for offset {:#x}, size {:#x}", at, offset, left);
      return result;
    }
    at += sizeof record + left;
    while (left != 0) {
      const MutableBytes wanted = MutableBytes(buffer).first(std::min<uint64_t>(left, buffer.size()));
      const size_t there = read(wanted);
      output.write(offset, wanted.first(there));
      offset += there;
      left -= there;
      result.size = std::max(result.size, offset);
      if (there == wanted.size()) continue;
      result.incomplete_reason = "the flattened stream ends inside a record";
      return result;
    }
  }
}

}  // namespace kdk
