// SHA-256 (FIPS 180-4), so that files are named and checked the way sha256sum does it. Small and portable,
// not hardened: nothing secret goes through it.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "core/base/bytes.h"
#include "core/base/sha256_constants.h"

namespace kdk {

// Sums up data that comes in pieces.
class Sha256 {
 public:
  static constexpr size_t digest_bytes = 32;
  using Digest = std::array<uint8_t, digest_bytes>;

  void add(Bytes data);
  // Of everything added so far; more may be added afterwards.
  Digest digest() const;
  std::string hex() const;

 private:
  std::array<uint32_t, 8> state_ = sha256_initial_state;
  std::array<uint8_t, 64> block_{};  // not full yet
  uint64_t size_ = 0;                // bytes added
};

std::string sha256_hex(Bytes data);

}  // namespace kdk
