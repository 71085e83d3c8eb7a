#include "core/formats/compressibility.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

#include "core/formats/codec.h"
#include "tests/unit/formats/raw_dump.h"

namespace kdk::test {
namespace {

constexpr uint32_t page_sizes[] = {4096, 16384, 65536};

// Objects of 256 bytes: pointers into one slab, counters, zeros.
std::vector<uint8_t> slab_page(size_t size) {
  std::vector<uint8_t> page(size);
  for (size_t at = 0; at < size; at += 256) {
    put_u64(page, at, 0xffff888003a40000);
    put_u64(page, at + 8, 0xffff888003a40000 + at);
    put_u64(page, at + 64, 1);
    put_u64(page, at + 128, 0xffffffff81e4a2c0);
  }
  return page;
}

// Lines that differ, as a log's or a configuration's.
std::vector<uint8_t> text_page(size_t size) {
  std::string text;
  std::mt19937 random(7);
  while (text.size() < size) {
    text += "[" + std::to_string(random() % 100000) + "] ";
    for (unsigned words = random() % 8; words-- != 0;)
      text += std::string(1 + random() % 9, static_cast<char>('a' + random() % 26)) +
              std::to_string(random() % 97) + " ";
    text += '\n';
  }
  text.resize(size);
  return {text.begin(), text.end()};
}

TEST(Compressibility, TellsWhatPagesHold) {
  for (uint32_t size : page_sizes) {
    SCOPED_TRACE(size);
    EXPECT_EQ(estimate_compressibility(std::vector<uint8_t>(size)), Compressibility::repetitive);
    EXPECT_EQ(estimate_compressibility(std::vector<uint8_t>(size, 0xcc)), Compressibility::repetitive);
    EXPECT_EQ(estimate_compressibility(slab_page(size)), Compressibility::repetitive);
    EXPECT_EQ(estimate_compressibility(text_page(size)), Compressibility::mixed);
    for (unsigned seed = 1; seed <= 200; ++seed)
      ASSERT_EQ(estimate_compressibility(random_bytes(size, seed)), Compressibility::noise) << seed;
  }
}

// To store such a page as it is would cost room that a compressor finds.
TEST(Compressibility, NoiseIsNotWhatHasAnythingToGain) {
  for (uint32_t size : page_sizes) {
    SCOPED_TRACE(size);
    std::vector<uint8_t> half = random_bytes(size);
    std::fill(half.begin() + size / 2, half.end(), uint8_t{0});
    EXPECT_NE(estimate_compressibility(half), Compressibility::noise);
    std::vector<uint8_t> six_bits = random_bytes(size);  // base64, say
    for (uint8_t& byte : six_bits) byte = 32 + byte % 64;
    EXPECT_EQ(estimate_compressibility(six_bits), Compressibility::mixed);
    std::vector<uint8_t> twice = random_bytes(size);
    std::copy(twice.begin(), twice.begin() + size / 2, twice.begin() + size / 2);
    EXPECT_NE(estimate_compressibility(twice), Compressibility::noise);
  }
}

TEST(Compressibility, OfLessThanAPageNothingIsSaid) {
  EXPECT_EQ(estimate_compressibility({}), Compressibility::mixed);
  EXPECT_EQ(estimate_compressibility(random_bytes(512)), Compressibility::mixed);
}

// Whatever was guessed, the page comes back.
TEST(Compressibility, EveryKindOfPageSurvivesEveryCodec) {
  Decompressor decompressor;
  for (uint32_t size : page_sizes) {
    const std::vector<uint8_t> pages[] = {slab_page(size), text_page(size), pattern_page(3, size),
                                          std::vector<uint8_t>(size, 1)};
    for (Codec codec : {Codec::zlib, Codec::zstd}) {
      for (int level : {1, 2, 5}) {
        const std::unique_ptr<Compressor> compressor = make_compressor(codec, level, size);
        std::vector<uint8_t> out(compressor->max_size()), back(size);
        for (const std::vector<uint8_t>& page : pages) {
          const size_t n = compressor->compress(page, out);
          ASSERT_GT(n, 0u);
          ASSERT_TRUE(decompressor.decompress(codec, Bytes(out).first(n), back));
          EXPECT_EQ(back, page);
        }
      }
    }
  }
}

// zstd at level 1 leaves entropy codes out where matches do; at other levels every byte counts.
TEST(Compressibility, OnlyLevel1OfZstdIsQuickerForIt) {
  std::vector<uint8_t> page = text_page(4096);
  std::fill(page.begin() + 2048, page.end(), uint8_t{0});
  ASSERT_EQ(estimate_compressibility(page), Compressibility::repetitive);
  const auto packed = [](int level, Bytes bytes) {
    const std::unique_ptr<Compressor> compressor = make_compressor(Codec::zstd, level, 4096);
    std::vector<uint8_t> out(compressor->max_size());
    out.resize(compressor->compress(bytes, out));
    return out;
  };
  EXPECT_EQ(packed(1, page), packed(-1, page));
  EXPECT_LT(packed(2, page).size(), packed(-1, page).size());
  const std::vector<uint8_t> text = text_page(4096);
  EXPECT_LT(packed(1, text).size(), packed(-1, text).size());
}

}  // namespace
}  // namespace kdk::test
