#include "loader/image/decompress.h"

#include <fmt/format.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <climits>
#include <memory>

#include "core/base/error.h"
#include "loader/image/unpackers.h"

namespace kdk {
namespace {

constexpr size_t chunk_size = 256 << 10;

}  // namespace

UnpackResult unpack_gzip(Bytes packed, const UnpackSink& sink) {
  z_stream stream{};
  if (inflateInit2(&stream, 16 + MAX_WBITS) != Z_OK) throw Error(Errc::io, "zlib: out of memory");
  std::unique_ptr<z_stream, int (*)(z_stream*)> guard(&stream, inflateEnd);
  std::vector<uint8_t> out(chunk_size);
  uint64_t consumed = 0;
  for (;;) {
    // zlib counts in 32 bits: feed it piecewise. Its input pointer is not const for historical reasons.
    Bytes piece = packed.subspan(consumed, std::min<uint64_t>(packed.size() - consumed, INT_MAX));
    stream.next_in = const_cast<uint8_t*>(piece.data());
    stream.avail_in = static_cast<uInt>(piece.size());
    stream.next_out = out.data();
    stream.avail_out = static_cast<uInt>(out.size());
    int status = inflate(&stream, Z_NO_FLUSH);
    consumed += piece.size() - stream.avail_in;
    size_t produced = out.size() - stream.avail_out;
    if (produced != 0 && !sink(Bytes(out).first(produced))) return {consumed, true};
    if (status == Z_STREAM_END) return {consumed, false};
    if (status == Z_OK) continue;
    if (status == Z_BUF_ERROR)
      throw Error(Errc::format, fmt::format("gzip data is cut off after {} bytes", consumed));
    throw Error(Errc::format, fmt::format("gzip data is damaged near offset {:#x} ({})", consumed,
                                          stream.msg != nullptr ? stream.msg : zError(status)));
  }
}

UnpackResult unpack_zstd(Bytes packed, const UnpackSink& sink) {
  std::unique_ptr<ZSTD_DStream, size_t (*)(ZSTD_DStream*)> stream(ZSTD_createDStream(), ZSTD_freeDStream);
  if (!stream) throw Error(Errc::io, "zstd: out of memory");
  std::vector<uint8_t> out(chunk_size);
  ZSTD_inBuffer in{packed.data(), packed.size(), 0};
  for (;;) {
    ZSTD_outBuffer room{out.data(), out.size(), 0};
    size_t status = ZSTD_decompressStream(stream.get(), &room, &in);
    if (ZSTD_isError(status)) {
      throw Error(Errc::format, fmt::format("zstd data is damaged near offset {:#x} ({})", in.pos,
                                            ZSTD_getErrorName(status)));
    }
    if (room.pos != 0 && !sink(Bytes(out).first(room.pos))) return {in.pos, true};
    if (status == 0) return {in.pos, false};
    if (in.pos == in.size && room.pos < room.size) {
      throw Error(Errc::format, fmt::format("zstd data is cut off after {} bytes", in.pos));
    }
  }
}

PackFormat detect_pack_format(Bytes bytes) {
  struct Magic {
    uint8_t first, second;
    PackFormat format;
  };
  static constexpr std::array<Magic, 9> magics = {{{0x1f, 0x8b, PackFormat::gzip},
                                                   {0x1f, 0x9e, PackFormat::gzip},
                                                   {0x42, 0x5a, PackFormat::bzip2},
                                                   {0x5d, 0x00, PackFormat::lzma},
                                                   {0xfd, 0x37, PackFormat::xz},
                                                   {0x89, 0x4c, PackFormat::lzo},
                                                   {0x02, 0x21, PackFormat::lz4},
                                                   {0x28, 0xb5, PackFormat::zstd},
                                                   {0x04, 0x22, PackFormat::lz4_frame}}};
  if (bytes.size() < 2) return PackFormat::none;
  for (const Magic& magic : magics) {
    if (bytes[0] == magic.first && bytes[1] == magic.second) return magic.format;
  }
  return PackFormat::none;
}

std::string_view to_string(PackFormat format) {
  switch (format) {
    case PackFormat::none:
      return "none";
    case PackFormat::gzip:
      return "gzip";
    case PackFormat::bzip2:
      return "bzip2";
    case PackFormat::lzma:
      return "lzma";
    case PackFormat::xz:
      return "xz";
    case PackFormat::lzo:
      return "lzo";
    case PackFormat::lz4:
      return "lz4";
    case PackFormat::zstd:
      return "zstd";
    case PackFormat::lz4_frame:
      return "lz4 frame";
  }
  return "unknown";
}

UnpackResult unpack_member(Bytes packed, PackFormat format, const UnpackSink& sink) {
  switch (format) {
    case PackFormat::gzip:
      return unpack_gzip(packed, sink);
    case PackFormat::zstd:
      return unpack_zstd(packed, sink);
    case PackFormat::xz:
      return unpack_xz(packed, sink);
    case PackFormat::lzma:
      return unpack_lzma(packed, sink);
    case PackFormat::lz4:
      return unpack_lz4_legacy(packed, sink);
    case PackFormat::lz4_frame:
      return unpack_lz4_frame(packed, sink);
    case PackFormat::lzo:
      return unpack_lzop(packed, sink);
    case PackFormat::bzip2:
    case PackFormat::none:
      break;
  }
  throw Error(Errc::unsupported, fmt::format("{} data cannot be unpacked here", to_string(format)))
      .with_hint("unpack it first, with bunzip2 or what else made it");
}

std::vector<uint8_t> unpack_all(Bytes packed, PackFormat format, uint64_t limit) {
  std::vector<uint8_t> out;
  auto is_size = [&] {
    return packed.size() == sizeof(ul32) && *load<ul32>(packed) == static_cast<uint32_t>(out.size());
  };
  do {
    UnpackResult result = unpack_member(packed, format, [&](Bytes part) {
      if (out.size() + part.size() > limit) return false;
      out.insert(out.end(), part.begin(), part.end());
      return true;
    });
    if (result.stopped)
      throw Error(Errc::unsupported, fmt::format("more than {} bytes come out of it", limit));
    packed = packed.subspan(result.consumed);
  } while (!is_size() && detect_pack_format(packed) == format);
  bool padding = std::all_of(packed.begin(), packed.end(), [](uint8_t byte) { return byte == 0; });
  if (!padding && !is_size()) {
    throw Error(Errc::format,
                fmt::format("{} bytes that are no {} data follow it", packed.size(), to_string(format)));
  }
  return out;
}

}  // namespace kdk
