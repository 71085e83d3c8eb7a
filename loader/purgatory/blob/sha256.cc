// SHA-256 (FIPS 180-4, 6.2.2) in plain integer code, for CPUs without instructions for it.
#include "loader/purgatory/blob/sha256.h"

#include "core/base/sha256_constants.h"

namespace kdk::purgatory {
namespace {

inline uint32_t rotate(uint32_t value, unsigned by) {
  return value >> by | value << (32 - by);
}

inline uint32_t word(const uint8_t* data, unsigned index) {
  return __builtin_bswap32(*reinterpret_cast<const uint32_t*>(data + 4 * index));
}

// Eight rounds are written out so that the eight variables change their names instead of their places.
inline void round(uint32_t a, uint32_t b, uint32_t c, uint32_t& d, uint32_t e, uint32_t f, uint32_t g,
                  uint32_t& h, uint32_t input) {
  h += (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) + (g ^ (e & (f ^ g))) + input;
  d += h;
  h += (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) + ((a & b) | (c & (a | b)));
}

}  // namespace

void compress(uint32_t* state, const uint8_t* data, uint64_t blocks) {
  for (; blocks != 0; --blocks, data += 64) {
    uint32_t w[16];  // the last 16 words of the message schedule; word t is at t % 16
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
    uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
    auto input = [&](unsigned t) {
      uint32_t& next = w[t % 16];
      if (t < 16) {
        next = word(data, t);
      } else {
        uint32_t early = w[(t + 1) % 16], late = w[(t + 14) % 16];
        next += (rotate(early, 7) ^ rotate(early, 18) ^ early >> 3) + w[(t + 9) % 16] +
                (rotate(late, 17) ^ rotate(late, 19) ^ late >> 10);
      }
      return next + sha256_round_constants[t];
    };
    for (unsigned t = 0; t < 64; t += 8) {
      round(a, b, c, d, e, f, g, h, input(t));
      round(h, a, b, c, d, e, f, g, input(t + 1));
      round(g, h, a, b, c, d, e, f, input(t + 2));
      round(f, g, h, a, b, c, d, e, input(t + 3));
      round(e, f, g, h, a, b, c, d, input(t + 4));
      round(d, e, f, g, h, a, b, c, input(t + 5));
      round(c, d, e, f, g, h, a, b, input(t + 6));
      round(b, c, d, e, f, g, h, a, input(t + 7));
    }
    state[0] += a, state[1] += b, state[2] += c, state[3] += d;
    state[4] += e, state[5] += f, state[6] += g, state[7] += h;
  }
}

}  // namespace kdk::purgatory
