// Compares memory with the digests that kdump-load computed before it handed the segments to the kernel.
#include "core/base/sha256_constants.h"
#include "loader/purgatory/blob/cpu.h"
#include "loader/purgatory/blob/sha256.h"
#include "loader/purgatory/parameters.h"

namespace kdk::purgatory {
namespace {

constexpr uint64_t block_size = 64;

bool holds(const CheckedRange& range, bool fast) {
  uint32_t state[8];
  for (unsigned i = 0; i < 8; ++i) state[i] = sha256_initial_state[i];
  auto add = [&](const uint8_t* data, uint64_t blocks) {
    fast ? compress_fast(state, data, blocks) : compress(state, data, blocks);
  };
  const auto* data = reinterpret_cast<const uint8_t*>(range.address);
  uint64_t whole = range.size / block_size, rest = range.size % block_size;
  add(data, whole);
  // What is left, a one bit, zeros, the length in bits: one block, or two.
  alignas(16) uint8_t tail[2 * block_size];
  for (unsigned i = 0; i < sizeof(tail); ++i) {
    tail[i] = i < rest ? data[whole * block_size + i] : i == rest ? 0x80 : 0;
  }
  uint64_t blocks = rest < block_size - 8 ? 1 : 2;
  uint64_t bits = range.size * 8;
  for (unsigned i = 0; i < 8; ++i) tail[blocks * block_size - 1 - i] = static_cast<uint8_t>(bits >> 8 * i);
  add(tail, blocks);
  uint8_t different = 0;
  for (unsigned i = 0; i < 32; ++i)
    different |= range.sha256[i] ^ static_cast<uint8_t>(state[i / 4] >> (24 - 8 * (i % 4)));
  return different == 0;
}

}  // namespace

extern "C" uint64_t check(const Parameters* parameters) {
  bool fast = has_instructions() != 0;
  for (uint64_t i = 0; i < parameters->range_count; ++i) {
    const CheckedRange& range = parameters->ranges[i];
    // Before: what counts is what memory holds, which the next kernel reads with its caches off. After: it
    // shall not find lines there that hide what it writes that way.
    drop_cached(range.address, range.size);
    bool good = holds(range, fast);
    drop_cached(range.address, range.size);
    if (!good) return i + 1;
  }
  return 0;
}

}  // namespace kdk::purgatory
