// One function per packing method, behind unpack_member() (decompress.h), whose contract each of them keeps.
#pragma once

#include "loader/image/decompress.h"

namespace kdk {

UnpackResult unpack_gzip(Bytes packed, const UnpackSink& sink);
UnpackResult unpack_zstd(Bytes packed, const UnpackSink& sink);
// .xz, and the older .lzma.
UnpackResult unpack_xz(Bytes packed, const UnpackSink& sink);
UnpackResult unpack_lzma(Bytes packed, const UnpackSink& sink);
// The frame of `lz4 -l`, which Linux builds make and unpack, and that of `lz4`, which it does not know.
UnpackResult unpack_lz4_legacy(Bytes packed, const UnpackSink& sink);
UnpackResult unpack_lz4_frame(Bytes packed, const UnpackSink& sink);
UnpackResult unpack_lzop(Bytes packed, const UnpackSink& sink);

}  // namespace kdk
