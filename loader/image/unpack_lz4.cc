// The two lz4 file formats.
//
// The legacy one is a magic number and blocks of at most 8 MiB, each behind its packed size; it has no end
// mark and no checksum. Source: "LZ4 Frame Format Description", section "Legacy frame"; Linux
// lib/decompress_unlz4.c.
#include <fmt/format.h>
#include <lz4.h>
#include <lz4frame.h>

#include <memory>

#include "core/base/error.h"
#include "loader/image/unpackers.h"

namespace kdk {
namespace {

constexpr uint32_t legacy_magic = 0x184c2102;
constexpr uint32_t legacy_block = 8 << 20;  // bytes unpacked
constexpr size_t chunk_size = 256 << 10;

[[noreturn]] void cut_off(uint64_t offset) {
  throw Error(Errc::format, fmt::format("lz4 data is cut off after {} bytes", offset));
}

}  // namespace

UnpackResult unpack_lz4_legacy(Bytes packed, const UnpackSink& sink) {
  auto out = std::make_unique_for_overwrite<uint8_t[]>(legacy_block);
  uint64_t at = 0, produced = 0;
  if (load<ul32>(packed) != legacy_magic)
    throw Error(Errc::format, "lz4 data has no magic number of a legacy frame");
  at += sizeof(ul32);
  while (at < packed.size()) {
    std::optional<ul32> size = load<ul32>(packed, at);
    if (!size) cut_off(packed.size());
    // Linux builds append the unpacked size; zeros are padding.
    bool last = packed.size() - at == sizeof(ul32);
    if (*size == 0 || (last && *size == static_cast<uint32_t>(produced))) break;
    if (*size == legacy_magic) {  // another frame
      at += sizeof(ul32);
      continue;
    }
    if (*size > LZ4_COMPRESSBOUND(legacy_block)) {
      throw Error(Errc::format, fmt::format("lz4 data is damaged near offset {:#x} (a block of {} bytes)", at,
                                            uint32_t{*size}));
    }
    std::optional<Bytes> block = subspan(packed, at + sizeof(ul32), *size);
    if (!block) cut_off(packed.size());
    int got = LZ4_decompress_safe(as_text(*block).data(), reinterpret_cast<char*>(out.get()),
                                  static_cast<int>(block->size()), legacy_block);
    if (got < 0)
      throw Error(Errc::format, fmt::format("lz4 data is damaged in the block at offset {:#x}", at));
    at += sizeof(ul32) + block->size();
    produced += static_cast<uint64_t>(got);
    if (got != 0 && !sink(Bytes(out.get(), static_cast<size_t>(got)))) return {at, true};
  }
  return {at, false};
}

UnpackResult unpack_lz4_frame(Bytes packed, const UnpackSink& sink) {
  LZ4F_dctx* made = nullptr;
  if (LZ4F_isError(LZ4F_createDecompressionContext(&made, LZ4F_VERSION)))
    throw Error(Errc::io, "lz4: out of memory");
  std::unique_ptr<LZ4F_dctx, LZ4F_errorCode_t (*)(LZ4F_dctx*)> context(made, LZ4F_freeDecompressionContext);
  std::vector<uint8_t> out(chunk_size);
  uint64_t at = 0;
  for (;;) {
    size_t taken = packed.size() - at;
    size_t produced = out.size();
    size_t status =
        LZ4F_decompress(context.get(), out.data(), &produced, packed.data() + at, &taken, nullptr);
    if (LZ4F_isError(status)) {
      throw Error(Errc::format,
                  fmt::format("lz4 data is damaged near offset {:#x} ({})", at, LZ4F_getErrorName(status)));
    }
    at += taken;
    if (produced != 0 && !sink(Bytes(out).first(produced))) return {at, true};
    if (status == 0) return {at, false};
    if (taken == 0 && produced == 0) cut_off(at);
  }
}

}  // namespace kdk
