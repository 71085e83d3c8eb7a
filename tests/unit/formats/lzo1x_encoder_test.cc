#include "core/formats/lzo1x_encoder.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "core/formats/codec.h"
#include "tests/unit/formats/raw_dump.h"

namespace kdk::test {
namespace {

// The stream, after a check that nothing behind lzo1x_encoded_max() was written.
std::vector<uint8_t> encoded(Bytes page) {
  constexpr uint8_t untouched = 0xa5;
  std::vector<uint8_t> out(lzo1x_encoded_max(page.size()) + 64, untouched);
  const size_t size = lzo1x_encode(page, MutableBytes(out).first(lzo1x_encoded_max(page.size())));
  EXPECT_LE(size, lzo1x_encoded_max(page.size()));
  EXPECT_TRUE(std::all_of(out.end() - 64, out.end(), [](uint8_t byte) { return byte == untouched; }));
  out.resize(size);
  return out;
}

// liblzo2 is who reads our dumps, in every peer.
void expect_expands(Bytes page) {
  const std::vector<uint8_t> stream = encoded(page);
  std::vector<uint8_t> back(page.size());
  Decompressor decompressor;
  ASSERT_TRUE(decompressor.decompress(Codec::lzo, stream, back)) << page.size();
  EXPECT_TRUE(std::equal(page.begin(), page.end(), back.begin())) << page.size();
}

TEST(Lzo1xEncoder, ZerosByTheBook) {
  // 17 + 8 literals, then a match of 4088 bytes (33 + 15 * 255 + 230) at a distance of 8 (7 << 2), then the
  // end.
  std::vector<uint8_t> expected{17 + 8, 0, 0, 0, 0, 0, 0, 0, 0, 0x20};
  expected.resize(expected.size() + 15);
  for (int byte : {230, 7 << 2, 0, 0x11, 0, 0}) expected.push_back(static_cast<uint8_t>(byte));
  EXPECT_EQ(encoded(std::vector<uint8_t>(4096)), expected);
}

TEST(Lzo1xEncoder, EverySizeOfAPageAndNoise) {
  for (size_t size = 1; size < 700; ++size) {
    expect_expands(random_bytes(size, 1));
    expect_expands(std::vector<uint8_t>(size));
  }
  for (size_t size : {4096u, 16384u, 65536u, 262144u}) {
    const std::vector<uint8_t> noise = random_bytes(size, 2);
    expect_expands(noise);
    EXPECT_GT(encoded(noise).size(), size);
  }
}

// Literals, a match, literals: every way to write a length and a distance.
TEST(Lzo1xEncoder, EveryLengthAndDistance) {
  const auto page_of = [](size_t literals, size_t length, size_t distance) {
    std::vector<uint8_t> page = random_bytes(distance + literals, 3);
    for (size_t i = 0; i < length; ++i) page.push_back(page[page.size() - distance]);
    const std::vector<uint8_t> rest = random_bytes(64, 4);
    page.insert(page.end(), rest.begin(), rest.end());
    return page;
  };
  for (size_t length = 7; length < 600; ++length) expect_expands(page_of(0, length, 64));
  for (size_t literals = 0; literals < 600; ++literals) expect_expands(page_of(literals, 40, 64));
  for (size_t distance = 1; distance < 80; ++distance) expect_expands(page_of(1, 40, distance));
  for (size_t edge : {size_t{1} << 11, size_t{1} << 14})
    for (size_t distance = edge - 3; distance <= edge + 3; ++distance)
      for (size_t length : {7u, 8u, 9u, 33u, 34u, 288u, 289u}) expect_expands(page_of(0, length, distance));
}

TEST(Lzo1xEncoder, ShortRunsOfLiteralsBetweenMatches) {
  std::mt19937 random(5);
  for (int round = 0; round < 2000; ++round) {
    std::vector<uint8_t> page = random_bytes(64, static_cast<unsigned>(round));
    while (page.size() < 4096) {
      if (random() % 2 == 0) {
        const size_t distance = 1 + random() % page.size(), length = 4 + random() % 40;
        for (size_t i = 0; i < length; ++i) page.push_back(page[page.size() - distance]);
      } else {
        for (size_t i = random() % 22; i > 0; --i) page.push_back(static_cast<uint8_t>(random()));
      }
    }
    page.resize(4096);
    expect_expands(page);
  }
}

// What pages are made of shrinks: objects of 32 bytes, a pointer and a counter in each.
TEST(Lzo1xEncoder, ObjectsShrinkToAFourth) {
  for (size_t size : {4096u, 16384u, 65536u}) {
    std::vector<uint8_t> page(size);
    for (size_t at = 0; at < size; at += 32) {
      put_u64(page, at, 0xffff888003a40000 + at % 4096);
      put_u64(page, at + 16, 1);
    }
    expect_expands(page);
    EXPECT_LT(encoded(page).size(), size / 4);
  }
}

}  // namespace
}  // namespace kdk::test
