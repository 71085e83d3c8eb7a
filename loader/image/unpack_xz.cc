// xz and lzma, by liblzma.
#include <fmt/format.h>
#include <lzma.h>

#include <memory>

#include "core/base/error.h"
#include "loader/image/unpackers.h"

namespace kdk {
namespace {

constexpr size_t chunk_size = 256 << 10;
// For the dictionary, which the data chooses. Linux builds take 32 or 128 MiB (scripts/xz_wrap.sh).
constexpr uint64_t memory_limit = uint64_t{512} << 20;

std::string_view describe(lzma_ret status) {
  switch (status) {
    case LZMA_MEM_ERROR:
      return "out of memory";
    case LZMA_MEMLIMIT_ERROR:
      return "its dictionary is larger than 512 MiB";
    case LZMA_FORMAT_ERROR:
      return "no valid header";
    case LZMA_OPTIONS_ERROR:
      return "it uses options that liblzma does not know";
    default:
      return "corrupt data";
  }
}

UnpackResult run(lzma_stream& stream, lzma_ret status, PackFormat format, Bytes packed,
                 const UnpackSink& sink) {
  std::unique_ptr<lzma_stream, void (*)(lzma_stream*)> guard(&stream, lzma_end);
  std::vector<uint8_t> out(chunk_size);
  stream.next_in = packed.data();
  stream.avail_in = packed.size();
  while (status == LZMA_OK) {
    stream.next_out = out.data();
    stream.avail_out = out.size();
    status = lzma_code(&stream, LZMA_FINISH);
    size_t produced = out.size() - stream.avail_out;
    if (produced != 0 && !sink(Bytes(out).first(produced))) return {stream.total_in, true};
  }
  if (status == LZMA_STREAM_END) return {stream.total_in, false};
  if (status == LZMA_BUF_ERROR) {
    throw Error(Errc::format,
                fmt::format("{} data is cut off after {} bytes", to_string(format), stream.total_in));
  }
  throw Error(Errc::format, fmt::format("{} data is damaged near offset {:#x} ({})", to_string(format),
                                        stream.total_in, describe(status)));
}

}  // namespace

UnpackResult unpack_xz(Bytes packed, const UnpackSink& sink) {
  lzma_stream stream = LZMA_STREAM_INIT;
  return run(stream, lzma_stream_decoder(&stream, memory_limit, 0), PackFormat::xz, packed, sink);
}

UnpackResult unpack_lzma(Bytes packed, const UnpackSink& sink) {
  lzma_stream stream = LZMA_STREAM_INIT;
  return run(stream, lzma_alone_decoder(&stream, memory_limit), PackFormat::lzma, packed, sink);
}

}  // namespace kdk
