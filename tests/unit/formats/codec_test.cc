#include "core/formats/codec.h"

#include <gtest/gtest.h>

#include "tests/unit/formats/raw_dump.h"

namespace kdk::test {
namespace {

constexpr Codec real_codecs[] = {Codec::zlib, Codec::lzo, Codec::snappy, Codec::zstd};

std::vector<uint8_t> compressed(Codec codec, Bytes page) {
  std::unique_ptr<Compressor> compressor = make_compressor(codec, 0, static_cast<uint32_t>(page.size()));
  std::vector<uint8_t> out(compressor->max_size());
  out.resize(compressor->compress(page, out));
  return out;
}

TEST(Codec, RoundTripWithReusedContexts) {
  Decompressor decompressor;
  for (uint32_t size : {4096u, 16384u, 65536u}) {
    for (Codec codec : real_codecs) {
      std::unique_ptr<Compressor> compressor = make_compressor(codec, 0, size);
      std::vector<uint8_t> out(compressor->max_size()), back(size);
      for (uint64_t seed = 0; seed < 5; ++seed) {
        std::vector<uint8_t> page = pattern_page(seed, size);
        size_t n = compressor->compress(page, out);
        ASSERT_GT(n, 0u) << to_string(codec);
        ASSERT_LT(n, size);
        ASSERT_TRUE(decompressor.decompress(codec, Bytes(out).first(n), back)) << to_string(codec);
        EXPECT_EQ(back, page);
      }
    }
  }
}

TEST(Codec, PageThatDoesNotShrinkIsToBeStoredRaw) {
  for (Codec codec : real_codecs)
    EXPECT_TRUE(compressed(codec, random_bytes(4096)).empty()) << to_string(codec);
  EXPECT_EQ(make_compressor(Codec::none, 0, 4096)->compress(pattern_page(1), {}), 0u);
}

TEST(Codec, OutputOfAnotherSizeIsRefused) {
  Decompressor decompressor;
  std::vector<uint8_t> page = pattern_page(1);
  for (Codec codec : real_codecs) {
    std::vector<uint8_t> in = compressed(codec, page);
    std::vector<uint8_t> small(4095), large(4097);
    EXPECT_FALSE(decompressor.decompress(codec, in, small)) << to_string(codec);
    EXPECT_FALSE(decompressor.decompress(codec, in, large)) << to_string(codec);
  }
  std::vector<uint8_t> out(4095);
  EXPECT_FALSE(decompressor.decompress(Codec::none, page, out));
}

TEST(Codec, DamagedInputNeverPassesForAPageOfTheSameLengthCutShort) {
  Decompressor decompressor;
  for (Codec codec : real_codecs) {
    std::vector<uint8_t> in = compressed(codec, pattern_page(3));
    std::vector<uint8_t> out(4096);
    for (size_t size = 0; size < in.size(); ++size) {
      EXPECT_FALSE(decompressor.decompress(codec, Bytes(in).first(size), out))
          << to_string(codec) << " " << size;
    }
    // And the context still works afterwards.
    EXPECT_TRUE(decompressor.decompress(codec, in, out));
  }
}

TEST(Codec, LevelsChangeTheSize) {
  // Lines that differ a little: better matches are worth looking for.
  std::string text;
  for (unsigned i = 0; text.size() < 4096; ++i)
    text += "symbol_" + std::to_string(i * i * 7919 % 4093) + " kernel/sched.c\n";
  text.resize(4096);
  Bytes page = as_bytes(text);
  auto size = [&](Codec codec, int level) {
    std::vector<uint8_t> out(8192);
    return make_compressor(codec, level, 4096)->compress(page, out);
  };
  EXPECT_LT(size(Codec::zlib, 9), size(Codec::zlib, 1));
  EXPECT_LT(size(Codec::zstd, 1), size(Codec::zstd, -7));
  EXPECT_EQ(size(Codec::zlib, 0), size(Codec::zlib, 1));
  EXPECT_EQ(size(Codec::zstd, 0), size(Codec::zstd, 1));
}

TEST(Codec, NamesAndFlags) {
  for (Codec codec : {Codec::none, Codec::zlib, Codec::lzo, Codec::snappy, Codec::zstd}) {
    EXPECT_EQ(parse_codec(to_string(codec)), codec);
    EXPECT_EQ(codec_from_flags(codec_flag(codec)), codec);
  }
  EXPECT_EQ(codec_flag(Codec::zstd), 0x20u);
  EXPECT_EQ(parse_codec("gzip"), std::nullopt);
  EXPECT_EQ(codec_from_flags(0x21), std::nullopt);
}

}  // namespace
}  // namespace kdk::test
