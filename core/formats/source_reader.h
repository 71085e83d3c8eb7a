// One thread's way to bytes of a ByteSource: a view when there is one, a mapped window, or a copy.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "core/formats/byte_source.h"

namespace kdk {

class SourceReader {
 public:
  // `max_size`: the largest request that will come, in bytes. The source must outlive the reader.
  SourceReader(const ByteSource& source, size_t max_size)
      : source_(source), window_(source.window()), buffer_(max_size) {}

  // Bytes [offset, offset+size), valid until the next call; nullopt when they are not all there or cannot be
  // read.
  std::optional<Bytes> bytes(uint64_t offset, size_t size) noexcept;

 private:
  const ByteSource& source_;
  std::unique_ptr<ByteSource::Window> window_;
  std::vector<uint8_t> buffer_;
};

// Copies bytes that may lie in a mapping; false when the file behind it is gone (SIGBUS).
bool copy_guarded(Bytes from, uint8_t* to) noexcept;

}  // namespace kdk
