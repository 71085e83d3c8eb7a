// Pages to LZO1X streams, which any lzo1x decompressor expands.
#pragma once

#include <cstddef>

#include "core/base/bytes.h"

namespace kdk {

// Bytes `out` of lzo1x_encode() has to hold for a page of `page_size` bytes: what random bytes grow by, and
// room for the last copies, which write in steps of 16.
constexpr size_t lzo1x_encoded_max(size_t page_size) {
  return page_size + page_size / 255 + 64;
}

// Compresses `page` into `out` and returns the stream's size in bytes, which can be above the page's. What
// lies more than 64 KiB from the page's begin is looked at, but seldom matched. Allocates nothing, and memory
// that changes meanwhile spoils the result and nothing else. Plain C inside: safe under touch_guarded().
// Format: Documentation/staging/lzo.rst of the kernel sources, version 0.
size_t lzo1x_encode(Bytes page, MutableBytes out) noexcept;

}  // namespace kdk
