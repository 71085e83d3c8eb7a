// SHA-256 with SHA-NI (Intel SDM, volume 2: SHA256RNDS2, SHA256MSG1, SHA256MSG2). The instructions keep the
// eight variables as (f e b a) and (h g d c), lowest word first, and do two rounds each.
#include <immintrin.h>

#include "core/base/sha256_constants.h"
#include "loader/purgatory/blob/sha256.h"

namespace kdk::purgatory {
namespace {

inline __m128i load(const void* from) {
  return _mm_loadu_si128(static_cast<const __m128i*>(from));
}

}  // namespace

void compress_fast(uint32_t* state, const uint8_t* data, uint64_t blocks) {
  const __m128i swap_bytes = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
  __m128i badc = _mm_shuffle_epi32(load(state), 0xb1), hgfe = _mm_shuffle_epi32(load(state + 4), 0x1b);
  __m128i feba = _mm_alignr_epi8(badc, hgfe, 8), hgdc = _mm_blend_epi16(hgfe, badc, 0xf0);
  for (; blocks != 0; --blocks, data += 64) {
    __m128i feba_before = feba, hgdc_before = hgdc;
    __m128i w[4];  // the last 16 words of the message schedule, four at a time
    for (unsigned i = 0; i < 4; ++i) w[i] = _mm_shuffle_epi8(load(data + 16 * i), swap_bytes);
#pragma GCC unroll 16
    for (unsigned i = 0; i < 16; ++i) {
      __m128i input = _mm_add_epi32(w[i % 4], load(sha256_round_constants.data() + 4 * i));
      hgdc = _mm_sha256rnds2_epu32(hgdc, feba, input);
      feba = _mm_sha256rnds2_epu32(feba, hgdc, _mm_shuffle_epi32(input, 0x0e));
      if (i < 12) {
        __m128i last = w[(i + 3) % 4];
        __m128i sum = _mm_add_epi32(_mm_sha256msg1_epu32(w[i % 4], w[(i + 1) % 4]),
                                    _mm_alignr_epi8(last, w[(i + 2) % 4], 4));
        w[i % 4] = _mm_sha256msg2_epu32(sum, last);
      }
    }
    feba = _mm_add_epi32(feba, feba_before);
    hgdc = _mm_add_epi32(hgdc, hgdc_before);
  }
  __m128i abef = _mm_shuffle_epi32(feba, 0x1b), dcgh = _mm_shuffle_epi32(hgdc, 0xb1);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(state), _mm_blend_epi16(abef, dcgh, 0xf0));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(state + 4), _mm_alignr_epi8(dcgh, abef, 8));
}

}  // namespace kdk::purgatory
