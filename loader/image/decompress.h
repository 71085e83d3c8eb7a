// Unpacking of kernel images and initramfs members: gzip and zstd as streams, in memory, never unbounded.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

#include "core/base/bytes.h"

namespace kdk {

// What the first bytes say. The list is the kernel's own (lib/decompress.c, compressed_formats).
enum class PackFormat { none, gzip, bzip2, lzma, xz, lzo, lz4, zstd };
PackFormat detect_pack_format(Bytes bytes);
std::string_view to_string(PackFormat format);

// Receives unpacked bytes; false stops the unpacking (the caller has seen enough).
using UnpackSink = std::function<bool(Bytes)>;

struct UnpackResult {
  uint64_t consumed = 0;  // packed bytes used
  bool stopped = false;   // the sink said stop
};

// Unpacks the one gzip member or zstd frame at the start of `packed`. Throws Error{format} when it is damaged
// or cut.
UnpackResult unpack_member(Bytes packed, PackFormat format, const UnpackSink& sink);

// The whole of a gzip or zstd file, members concatenated; zero padding at its end is allowed. Throws
// Error{format} as above, Error{unsupported} when more than `limit` bytes come out.
std::vector<uint8_t> unpack_all(Bytes packed, PackFormat format, uint64_t limit);

}  // namespace kdk
