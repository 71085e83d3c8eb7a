// Sealed containers: what goes in comes out, and nothing else does.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "capture/crypt/keys.h"
#include "capture/crypt/opener.h"
#include "capture/crypt/sealer.h"
#include "core/base/error.h"

namespace kdk {
namespace {

constexpr uint32_t chunk = 4096, stored = chunk + sealed::chunk_overhead;

std::vector<uint8_t> content_of(size_t size) {
  std::vector<uint8_t> bytes(size);
  uint64_t x = 42;
  for (uint8_t& b : bytes)
    b = static_cast<uint8_t>((x = x * 6364136223846793005u + 1442695040888963407u) >> 56);
  return bytes;
}

struct Opened {
  std::vector<uint8_t> content;
  std::string problem;  // of the opener, or the Error
  bool refused = false;
};

class Crypt : public testing::Test {
 protected:
  std::vector<uint8_t> seal(Bytes content, size_t piece = 1000) {
    std::vector<uint8_t> out;
    Sealer sealer(
        public_, sealed::content_dump, [&](Bytes part) { out.insert(out.end(), part.begin(), part.end()); },
        chunk);
    for (size_t at = 0; at < content.size(); at += piece)
      sealer.write(content.subspan(at, std::min(piece, content.size() - at)));
    sealer.finish();
    EXPECT_EQ(sealer.bytes(), out.size());
    return out;
  }
  Opened open(Bytes container, const SecretKey& key) {
    size_t at = 0;
    const auto read = [&](MutableBytes out) {
      const size_t n = std::min(out.size(), container.size() - at);
      std::copy_n(container.begin() + static_cast<std::ptrdiff_t>(at), n, out.begin());
      at += n;
      return n;
    };
    Opened result;
    try {
      Opener opener(read, "c", key);
      std::vector<uint8_t> part(1500);
      for (size_t n = opener.read(part); n != 0; n = opener.read(part))
        result.content.insert(result.content.end(), part.begin(),
                              part.begin() + static_cast<std::ptrdiff_t>(n));
      result.problem = opener.problem();
    } catch (const Error& e) {
      result.problem = e.message();
      result.refused = true;
    }
    return result;
  }

  const SecretKey secret_ = make_secret_key();
  const PublicKey public_ = public_key_of(secret_);
};

TEST_F(Crypt, EverySizeComesBack) {
  for (const size_t size : {size_t{0}, size_t{1}, size_t{chunk} - 1, size_t{chunk}, size_t{chunk} + 1,
                            3 * size_t{chunk}, 5 * size_t{chunk} + 77}) {
    const std::vector<uint8_t> content = content_of(size);
    const std::vector<uint8_t> container = seal(content);
    const size_t chunks = size == 0 ? 1 : (size + chunk - 1) / chunk;
    EXPECT_EQ(container.size(), sizeof(sealed::Header) + size + chunks * sealed::chunk_overhead);
    const Opened opened = open(container, secret_);
    EXPECT_EQ(opened.problem, "") << size;
    EXPECT_EQ(opened.content, content) << size;
  }
}

TEST_F(Crypt, TheSameContentNeverLooksTheSame) {
  const std::vector<uint8_t> content = content_of(chunk);
  EXPECT_NE(seal(content), seal(content));
}

TEST_F(Crypt, AnotherKeyOpensNothing) {
  const Opened opened = open(seal(content_of(100)), make_secret_key());
  EXPECT_TRUE(opened.refused);
  EXPECT_EQ(opened.problem, "c: is sealed to another key");
}

// Whichever byte is changed: what comes out is a beginning of the content, up to the chunk with that byte.
TEST_F(Crypt, AChangedByteIsRefusedWithItsChunk) {
  const std::vector<uint8_t> content = content_of(3 * chunk + 50);
  const std::vector<uint8_t> container = seal(content);
  for (size_t at = 0; at < container.size();
       at += at < sizeof(sealed::Header) || at + 80 > container.size() ? 1 : 61) {
    std::vector<uint8_t> changed = container;
    changed[at] ^= 0x40;
    const Opened opened = open(changed, secret_);
    EXPECT_NE(opened.problem, "") << at;
    const size_t whole = at < sizeof(sealed::Header) ? 0 : (at - sizeof(sealed::Header)) / stored;
    ASSERT_EQ(opened.content.size(), whole * chunk) << at;
    EXPECT_TRUE(std::equal(opened.content.begin(), opened.content.end(), content.begin())) << at;
    if (at >= sizeof(sealed::Header)) {
      EXPECT_NE(opened.problem.find("chunk " + std::to_string(whole)), std::string::npos) << opened.problem;
    }
  }
}

TEST_F(Crypt, ACutIsNoticedWhereverItIs) {
  const std::vector<uint8_t> content = content_of(3 * chunk);
  const std::vector<uint8_t> container = seal(content);
  for (size_t boundary = 0; boundary <= 3; ++boundary) {
    for (const int off : {-1, 0, 1}) {
      const size_t size = sizeof(sealed::Header) + boundary * stored + static_cast<size_t>(off);
      if (size >= container.size()) continue;
      const Opened opened = open(Bytes(container).first(size), secret_);
      const size_t whole = size < sizeof(sealed::Header) ? 0 : (size - sizeof(sealed::Header)) / stored;
      EXPECT_NE(opened.problem.find("cut off"), std::string::npos) << size << ": " << opened.problem;
      ASSERT_EQ(opened.content.size(), whole * chunk) << size;
      EXPECT_TRUE(std::equal(opened.content.begin(), opened.content.end(), content.begin())) << size;
    }
  }
}

TEST_F(Crypt, ChunksCannotBeMovedLeftOutOrAdded) {
  const std::vector<uint8_t> container = seal(content_of(4 * chunk));
  const auto chunk_at = [&](std::vector<uint8_t>& c, size_t i) {
    return c.begin() + static_cast<std::ptrdiff_t>(sizeof(sealed::Header) + i * stored);
  };
  std::vector<uint8_t> swapped = container;
  std::swap_ranges(chunk_at(swapped, 1), chunk_at(swapped, 2), chunk_at(swapped, 2));
  EXPECT_EQ(open(swapped, secret_).content.size(), chunk);
  std::vector<uint8_t> without = container;
  without.erase(chunk_at(without, 1), chunk_at(without, 2));
  EXPECT_EQ(open(without, secret_).content.size(), chunk);
  std::vector<uint8_t> longer = container;
  longer.push_back(0);
  const Opened opened = open(longer, secret_);
  EXPECT_EQ(opened.content.size(), 4 * chunk);
  EXPECT_NE(opened.problem.find("behind the last chunk"), std::string::npos);
}

TEST_F(Crypt, WhatIsNoContainerIsRefused) {
  EXPECT_EQ(open(as_bytes("makedumpfile"), secret_).problem, "c: is no sealed file");
  EXPECT_EQ(open({}, secret_).problem, "c: is no sealed file");
  std::vector<uint8_t> newer = seal(content_of(1));
  newer[16] = 2;
  EXPECT_EQ(open(newer, secret_).problem, "c: sealed files of version 2 are not known");
  std::vector<uint8_t> huge = seal(content_of(1));
  huge[27] = 0x7f;
  EXPECT_NE(open(huge, secret_).problem.find("cannot be"), std::string::npos);
}

TEST_F(Crypt, KeysAreText) {
  EXPECT_EQ(parse_public_key(to_text(public_), "k").bytes, public_.bytes);
  EXPECT_EQ(parse_secret_key(to_text(secret_), "k").bytes, secret_.bytes);
  EXPECT_EQ(to_text(public_).find("kdumpkit-public-key-1 "), 0u);
  const auto error = [](std::string_view text) {
    try {
      parse_public_key(text, "k");
    } catch (const Error& e) {
      return e.message() + (e.hint().empty() ? "" : " (hint)");
    }
    return std::string();
  };
  EXPECT_EQ(error(to_text(secret_)), "k: is no public key (hint)");
  EXPECT_EQ(error("ssh-ed25519 AAAA"), "k: is no public key");
  EXPECT_EQ(error("kdumpkit-public-key-12 AAAA"), "k: of an unknown version");
  EXPECT_EQ(error("kdumpkit-public-key-1 AAAA"), "k: the key is damaged");
  std::string longer = to_text(public_);
  longer.insert(longer.size() - 3, "AAAA");
  EXPECT_EQ(error(longer), "k: the key is damaged");
  // All zeros is a point that hides nothing.
  EXPECT_THROW(seal_file(PublicKey{}, as_bytes("x")), Error);
}

}  // namespace
}  // namespace kdk
