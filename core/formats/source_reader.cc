#include "core/formats/source_reader.h"

#include <cstring>

#include "core/base/bus_error.h"

namespace kdk {

std::optional<Bytes> SourceReader::bytes(uint64_t offset, size_t size) noexcept {
  if (size > buffer_.size() || !in_bounds(source_.size(), offset, size)) return std::nullopt;
  try {
    if (std::optional<Bytes> view = source_.view(offset, size)) return view;
    if (window_ != nullptr) {
      if (std::optional<Bytes> view = window_->map(offset, size)) return view;
    }
    MutableBytes out = MutableBytes(buffer_).first(size);
    if (source_.read(offset, out) != size) return std::nullopt;
    return out;
  } catch (const std::exception&) {
    return std::nullopt;  // an I/O error: for a page that is "unreadable", which the caller reports
  }
}

bool copy_guarded(Bytes from, uint8_t* to) noexcept {
  return touch_guarded([&] { std::memcpy(to, from.data(), from.size()); });
}

}  // namespace kdk
