#include "core/base/sha256.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

namespace kdk {
namespace {

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
                  sha256_round_constants[t] + w[t];
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
