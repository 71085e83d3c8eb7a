#include "core/base/sha256.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

namespace kdk {
namespace {

// Fractional parts of the cube roots of the first 64 primes (FIPS 180-4, 4.2.2).
constexpr std::array<uint32_t, 64> round_constants = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

using State = std::array<uint32_t, 8>;

// One 64-byte block (FIPS 180-4, 6.2.2).
void add_block(State& state, Bytes block) {
  std::array<uint32_t, 64> w{};
  for (size_t t = 0; t < 16; ++t) w[t] = *load<ub32>(block, 4 * t);
  for (size_t t = 16; t < 64; ++t) {
    uint32_t s0 = std::rotr(w[t - 15], 7) ^ std::rotr(w[t - 15], 18) ^ (w[t - 15] >> 3);
    uint32_t s1 = std::rotr(w[t - 2], 17) ^ std::rotr(w[t - 2], 19) ^ (w[t - 2] >> 10);
    w[t] = s1 + w[t - 7] + s0 + w[t - 16];
  }
  auto [a, b, c, d, e, f, g, h] = state;
  for (size_t t = 0; t < 64; ++t) {
    uint32_t t1 = h + (std::rotr(e, 6) ^ std::rotr(e, 11) ^ std::rotr(e, 25)) + ((e & f) ^ (~e & g)) +
                  round_constants[t] + w[t];
    uint32_t t2 = (std::rotr(a, 2) ^ std::rotr(a, 13) ^ std::rotr(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
    h = g;
    g = f;
    f = e;
    e = d + t1;
    d = c;
    c = b;
    b = a;
    a = t1 + t2;
  }
  State sum = {a, b, c, d, e, f, g, h};
  for (size_t i = 0; i < state.size(); ++i) state[i] += sum[i];
}

}  // namespace

void Sha256::add(Bytes data) {
  size_t used = size_ % block_.size();
  size_ += data.size();
  if (used != 0) {
    const size_t take = std::min(data.size(), block_.size() - used);
    std::copy_n(data.begin(), take, block_.begin() + static_cast<std::ptrdiff_t>(used));
    data = data.subspan(take);
    if (used + take < block_.size()) return;
    add_block(state_, block_);
  }
  while (data.size() >= block_.size()) {
    add_block(state_, data.first(block_.size()));
    data = data.subspan(block_.size());
  }
  std::ranges::copy(data, block_.begin());
}

Sha256::Digest Sha256::digest() const {
  State state = state_;
  // Padding: a one bit, zeros, the length in bits; one block, or two when the length does not fit the first.
  std::array<uint8_t, 128> tail{};
  const size_t used = size_ % block_.size();
  std::copy_n(block_.begin(), used, tail.begin());
  tail[used] = 0x80;
  const size_t tail_size = used < 56 ? 64 : 128;
  store(tail, tail_size - 8, ub64(size_ * 8));
  for (size_t at = 0; at < tail_size; at += 64) add_block(state, Bytes(tail).subspan(at, 64));
  Digest digest{};
  for (size_t i = 0; i < state.size(); ++i) store(digest, 4 * i, ub32(state[i]));
  return digest;
}

std::string Sha256::hex() const {
  std::string hex;
  for (uint8_t byte : digest()) hex += fmt::format("{:02x}", byte);
  return hex;
}

std::string sha256_hex(Bytes data) {
  Sha256 sum;
  sum.add(data);
  return sum.hex();
}

}  // namespace kdk
