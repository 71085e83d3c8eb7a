#include "core/formats/codec.h"

#include <lzo/lzo1x.h>
#include <snappy.h>
#include <zlib.h>
#include <zstd.h>

#include <cstring>
#include <new>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/formats/compressibility.h"
#include "core/formats/kdump_format.h"
#include "core/formats/lzo1x_encoder.h"

namespace kdk {
namespace {

[[noreturn]] void throw_no_context(std::string_view codec) {
  throw Error(Errc::io, std::string(codec) + ": no memory for a compression context");
}

// What a compressor's result means: a size that is no gain is stored raw.
size_t gain(size_t compressed, size_t page) {
  return compressed < page ? compressed : 0;
}

class NoCompressor : public Compressor {
 public:
  size_t compress(Bytes, MutableBytes) noexcept override { return 0; }
  size_t max_size() const override { return 0; }
};

class ZlibCompressor : public Compressor {
 public:
  ZlibCompressor(int level, uint32_t page_size) {
    if (deflateInit(&stream_, level) != Z_OK) throw_no_context("zlib");
    max_size_ = deflateBound(&stream_, page_size);
  }
  ZlibCompressor(const ZlibCompressor&) = delete;
  ZlibCompressor& operator=(const ZlibCompressor&) = delete;
  ~ZlibCompressor() override { deflateEnd(&stream_); }

  size_t compress(Bytes page, MutableBytes out) noexcept override {
    if (estimate_compressibility(page) == Compressibility::noise || deflateReset(&stream_) != Z_OK) return 0;
    stream_.next_in = const_cast<Bytef*>(page.data());  // zlib does not write there
    stream_.avail_in = static_cast<uInt>(page.size());
    stream_.next_out = out.data();
    stream_.avail_out = static_cast<uInt>(out.size());
    if (deflate(&stream_, Z_FINISH) != Z_STREAM_END) return 0;
    return gain(stream_.total_out, page.size());
  }
  size_t max_size() const override { return max_size_; }

 private:
  z_stream stream_{};
  size_t max_size_ = 0;
};

class LzoCompressor : public Compressor {
 public:
  explicit LzoCompressor(uint32_t page_size) : max_size_(lzo1x_encoded_max(page_size)) {}
  size_t compress(Bytes page, MutableBytes out) noexcept override {
    if (out.size() < max_size_) return 0;
    return gain(lzo1x_encode(page, out), page.size());
  }
  size_t max_size() const override { return max_size_; }

 private:
  size_t max_size_;
};

class SnappyCompressor : public Compressor {
 public:
  explicit SnappyCompressor(uint32_t page_size) : page_(page_size) {}
  size_t compress(Bytes page, MutableBytes out) noexcept override {
    if (page.size() > page_.size() || out.size() < max_size()) return 0;
    // snappy allocates while it works: a bus error in the middle would leak that. Only this copy can meet
    // one.
    std::memcpy(page_.data(), page.data(), page.size());
    size_t size = 0;
    try {
      snappy::RawCompress(reinterpret_cast<const char*>(page_.data()), page.size(),
                          reinterpret_cast<char*>(out.data()), &size);
    } catch (const std::bad_alloc&) {
      return 0;  // the page is stored raw
    }
    return gain(size, page.size());
  }
  size_t max_size() const override { return snappy::MaxCompressedLength(page_.size()); }

 private:
  std::vector<uint8_t> page_;
};

class ZstdCompressor : public Compressor {
 public:
  ZstdCompressor(int level, uint32_t page_size)
      : context_(make_context(level)), max_size_(ZSTD_compressBound(page_size)) {
    if (level == 1) matches_only_ = make_context(-1);
  }

  size_t compress(Bytes page, MutableBytes out) noexcept override {
    const Compressibility guess = estimate_compressibility(page);
    if (guess == Compressibility::noise) return 0;
    const bool quick = guess == Compressibility::repetitive && matches_only_ != nullptr;
    size_t size = ZSTD_compress2(quick ? matches_only_.get() : context_.get(), out.data(), out.size(),
                                 page.data(), page.size());
    return ZSTD_isError(size) ? 0 : gain(size, page.size());
  }
  size_t max_size() const override { return max_size_; }

 private:
  struct Free {
    void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
  };
  using Context = std::unique_ptr<ZSTD_CCtx, Free>;

  static Context make_context(int level) {
    Context context(ZSTD_createCCtx());
    if (context == nullptr) throw_no_context("zstd");
    ZSTD_CCtx_setParameter(context.get(), ZSTD_c_compressionLevel, level);
    return context;
  }

  Context context_;
  // The same search for matches without Huffman codes for what is between them, which take a third of the
  // time: of level 1 for repetitive pages. Higher levels are asked for by those who want every byte.
  Context matches_only_;
  size_t max_size_;
};

}  // namespace

std::string_view to_string(Codec codec) {
  switch (codec) {
    case Codec::none:
      return "none";
    case Codec::zlib:
      return "zlib";
    case Codec::lzo:
      return "lzo";
    case Codec::snappy:
      return "snappy";
    case Codec::zstd:
      return "zstd";
  }
  return "unknown";
}

std::optional<Codec> parse_codec(std::string_view name) {
  for (Codec codec : {Codec::none, Codec::zlib, Codec::lzo, Codec::snappy, Codec::zstd}) {
    if (name == to_string(codec)) return codec;
  }
  return std::nullopt;
}

uint32_t codec_flag(Codec codec) {
  switch (codec) {
    case Codec::none:
      return 0;
    case Codec::zlib:
      return kdump::flag_zlib;
    case Codec::lzo:
      return kdump::flag_lzo;
    case Codec::snappy:
      return kdump::flag_snappy;
    case Codec::zstd:
      return kdump::flag_zstd;
  }
  return 0;
}

std::optional<Codec> codec_from_flags(uint32_t flags) {
  for (Codec codec : {Codec::none, Codec::zlib, Codec::lzo, Codec::snappy, Codec::zstd}) {
    if (flags == codec_flag(codec)) return codec;
  }
  return std::nullopt;
}

std::unique_ptr<Compressor> make_compressor(Codec codec, int level, uint32_t page_size) {
  // Level 1 by default: a dump is written once, by a machine that should be back in service.
  switch (codec) {
    case Codec::none:
      return std::make_unique<NoCompressor>();
    case Codec::zlib:
      return std::make_unique<ZlibCompressor>(level == 0 ? 1 : level, page_size);
    case Codec::lzo:
      return std::make_unique<LzoCompressor>(page_size);
    case Codec::snappy:
      return std::make_unique<SnappyCompressor>(page_size);
    case Codec::zstd:
      return std::make_unique<ZstdCompressor>(level == 0 ? 1 : level, page_size);
  }
  throw Error(Errc::unsupported, "unknown codec");
}

struct Decompressor::State {
  z_stream zlib{};
  ZSTD_DCtx* zstd = nullptr;
  bool zlib_ready = false;

  State() = default;
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() {
    if (zlib_ready) inflateEnd(&zlib);
    ZSTD_freeDCtx(zstd);
  }

  // Contexts are made when the first page needs them and kept.
  bool expand_zlib(Bytes in, MutableBytes out) noexcept {
    if (!zlib_ready) zlib_ready = inflateInit(&zlib) == Z_OK;
    if (!zlib_ready || inflateReset(&zlib) != Z_OK) return false;
    zlib.next_in = const_cast<Bytef*>(in.data());  // zlib does not write there
    zlib.avail_in = static_cast<uInt>(in.size());
    zlib.next_out = out.data();
    zlib.avail_out = static_cast<uInt>(out.size());
    return inflate(&zlib, Z_FINISH) == Z_STREAM_END && zlib.total_out == out.size();
  }

  bool expand_zstd(Bytes in, MutableBytes out) noexcept {
    if (zstd == nullptr) zstd = ZSTD_createDCtx();
    if (zstd == nullptr) return false;
    return ZSTD_decompressDCtx(zstd, out.data(), out.size(), in.data(), in.size()) == out.size();
  }
};

Decompressor::Decompressor() : state_(std::make_unique<State>()) {}
Decompressor::~Decompressor() = default;

bool Decompressor::decompress(Codec codec, Bytes in, MutableBytes out) noexcept {
  switch (codec) {
    case Codec::none:
      if (in.size() != out.size()) return false;
      std::memcpy(out.data(), in.data(), in.size());
      return true;
    case Codec::zlib:
      return state_->expand_zlib(in, out);
    case Codec::lzo: {
      lzo_uint size = out.size();
      return lzo1x_decompress_safe(in.data(), in.size(), out.data(), &size, nullptr) == LZO_E_OK &&
             size == out.size();
    }
    case Codec::snappy: {
      const char* data = reinterpret_cast<const char*>(in.data());
      size_t size = 0;
      return snappy::GetUncompressedLength(data, in.size(), &size) && size == out.size() &&
             snappy::RawUncompress(data, in.size(), reinterpret_cast<char*>(out.data()));
    }
    case Codec::zstd:
      return state_->expand_zstd(in, out);
  }
  return false;
}

}  // namespace kdk
