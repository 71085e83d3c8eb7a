// Page codecs of the kdump-compressed format behind one enum.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "core/base/bytes.h"

namespace kdk {

enum class Codec : uint8_t { none, zlib, lzo, snappy, zstd };
std::string_view to_string(Codec codec);
std::optional<Codec> parse_codec(std::string_view name);

// page_desc.flags bit of a codec (0 for none), and back; nullopt for an unknown or ambiguous combination.
uint32_t codec_flag(Codec codec);
std::optional<Codec> codec_from_flags(uint32_t flags);

// One reusable compression context for one thread.
class Compressor {
 public:
  virtual ~Compressor() = default;
  // Compresses `page` into `out` and returns the size; 0 when the result would not be smaller than the page
  // (store it raw). `out` must hold max_size() bytes. Plain C inside: safe under touch_guarded().
  virtual size_t compress(Bytes page, MutableBytes out) noexcept = 0;
  virtual size_t max_size() const = 0;
};
// `level`: zlib 1-9, zstd -7..19, ignored by lzo and snappy; 0 = the codec's default for dumps. Codec::none
// gives a compressor that always returns 0. `page_size` in bytes.
std::unique_ptr<Compressor> make_compressor(Codec codec, int level, uint32_t page_size);

// One reusable decompression context for one thread.
class Decompressor {
 public:
  Decompressor();
  ~Decompressor();
  Decompressor(const Decompressor&) = delete;
  Decompressor& operator=(const Decompressor&) = delete;
  // Expands `in` to exactly out.size() bytes; false when it does not (corrupt input). Never writes past
  // `out`.
  bool decompress(Codec codec, Bytes in, MutableBytes out) noexcept;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace kdk
