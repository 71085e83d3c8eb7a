// Unpacking of kernel images and initramfs members: as streams, in memory, never unbounded. All that Linux
// packs its images with, except bzip2.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

#include "core/base/bytes.h"

namespace kdk {

// What the first bytes say. The list is the kernel's own (lib/decompress.c, compressed_formats), and
// lz4_frame: what `lz4` writes unless told -l, which the kernel cannot unpack.
enum class PackFormat { none, gzip, bzip2, lzma, xz, lzo, lz4, zstd, lz4_frame };
PackFormat detect_pack_format(Bytes bytes);
std::string_view to_string(PackFormat format);

// Receives unpacked bytes; false stops the unpacking (the caller has seen enough).
using UnpackSink = std::function<bool(Bytes)>;

struct UnpackResult {
  uint64_t consumed = 0;  // packed bytes used
  bool stopped = false;   // the sink said stop
};

// Unpacks the one member (stream, frame) at the start of `packed`; a legacy lz4 frame has no end mark and
// goes on to the end. Throws Error{format} when it is damaged or cut, Error{unsupported} for bzip2.
UnpackResult unpack_member(Bytes packed, PackFormat format, const UnpackSink& sink);

// The whole of a packed file, members concatenated. At its end zero padding is allowed, or the unpacked size
// as 32 bits, little-endian, which Linux builds append. Throws as above, Error{format} when something else
// follows, Error{unsupported} when more than `limit` bytes come out.
std::vector<uint8_t> unpack_all(Bytes packed, PackFormat format, uint64_t limit);

}  // namespace kdk
