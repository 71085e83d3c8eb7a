#include "loader/image/decompress.h"

#include <gtest/gtest.h>

#include "core/base/error.h"
#include "tests/support/fake_machine.h"
#include "tests/support/packers.h"

namespace kdk {
namespace {

struct Method {
  PackFormat format;
  std::vector<uint8_t> (*pack)(Bytes);
};
constexpr Method methods[] = {
    {PackFormat::gzip, testing::gzip},      {PackFormat::zstd, testing::zstd},
    {PackFormat::xz, testing::xz},          {PackFormat::lzma, testing::lzma},
    {PackFormat::lz4, testing::lz4_legacy}, {PackFormat::lz4_frame, testing::lz4_frame},
    {PackFormat::lzo, testing::lzop}};

// Bytes of which half pack well; more than one block of every method that has blocks.
std::vector<uint8_t> sample(size_t size) {
  std::vector<uint8_t> data(size);
  uint32_t state = 1;
  for (size_t i = 0; i < size; ++i) {
    state = state * 1664525 + 1013904223;
    data[i] = (i >> 12) % 2 == 0 ? static_cast<uint8_t>(state >> 24) : static_cast<uint8_t>(i >> 16);
  }
  return data;
}

std::string error_of(const std::vector<uint8_t>& packed, PackFormat format) {
  try {
    unpack_all(packed, format, 1 << 30);
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Errc::format) << e.message();
    return e.message();
  }
  return "";
}

TEST(Decompress, EveryMethodGivesBackWhatWentIn) {
  const std::vector<uint8_t> data = sample((9 << 20) + 123);
  for (const Method& method : methods) {
    SCOPED_TRACE(to_string(method.format));
    std::vector<uint8_t> packed = method.pack(data);
    EXPECT_EQ(detect_pack_format(packed), method.format);
    EXPECT_TRUE(unpack_all(packed, method.format, 1 << 30) == data);
    EXPECT_TRUE(unpack_all(testing::with_size(packed, data.size()), method.format, 1 << 30) == data);
    packed.resize(packed.size() + 512);
    EXPECT_TRUE(unpack_all(packed, method.format, 1 << 30) == data);
    EXPECT_THROW(unpack_all(packed, method.format, data.size() - 1), Error);
  }
}

TEST(Decompress, MembersOneAfterAnother) {
  const std::vector<uint8_t> data = sample(10000);
  for (const Method& method : methods) {
    SCOPED_TRACE(to_string(method.format));
    std::vector<uint8_t> packed = method.pack(data);
    packed.insert(packed.end(), packed.begin(), packed.end());
    std::vector<uint8_t> twice = data;
    twice.insert(twice.end(), data.begin(), data.end());
    EXPECT_TRUE(unpack_all(packed, method.format, 1 << 20) == twice);
  }
}

TEST(Decompress, CutAnywhere) {
  const std::vector<uint8_t> data = sample(6000);
  for (const Method& method : methods) {
    SCOPED_TRACE(to_string(method.format));
    const std::vector<uint8_t> packed = method.pack(data);
    for (size_t size = 4; size < packed.size(); size += 7) {
      // A legacy lz4 frame of no blocks is whole.
      if (method.format == PackFormat::lz4 && size == 4) continue;
      std::vector<uint8_t> cut(packed.begin(), packed.begin() + static_cast<ptrdiff_t>(size));
      EXPECT_NE(error_of(cut, method.format).find("cut off"), std::string::npos) << size;
    }
  }
}

TEST(Decompress, DamageIsSeenWhereTheFormatHasChecksums) {
  const std::vector<uint8_t> data = sample(6000);
  for (const Method& method : methods) {
    // These have no checksum of the data.
    if (method.format == PackFormat::lz4 || method.format == PackFormat::lz4_frame ||
        method.format == PackFormat::lzma || method.format == PackFormat::zstd) {
      continue;
    }
    SCOPED_TRACE(to_string(method.format));
    std::vector<uint8_t> packed = method.pack(data);
    packed[packed.size() / 2] ^= 0x10;
    EXPECT_NE(error_of(packed, method.format), "");
  }
}

TEST(Decompress, WhatFollowsIsNotIgnored) {
  const std::vector<uint8_t> data = sample(100);
  std::vector<uint8_t> packed = testing::xz(data);
  EXPECT_NE(error_of(testing::with_size(packed, 99), PackFormat::xz).find("follow"), std::string::npos);
}

TEST(Decompress, Bzip2IsNamed) {
  const std::string text = "BZh91AY&SY";
  try {
    unpack_all(as_bytes(text), PackFormat::bzip2, 1 << 20);
    FAIL() << "accepted";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Errc::unsupported);
    EXPECT_NE(e.message().find("bzip2"), std::string::npos);
  }
}

}  // namespace
}  // namespace kdk
