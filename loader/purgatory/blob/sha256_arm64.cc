// SHA-256 with the instructions of FEAT_SHA256 (Arm ARM, C7.2: SHA256H, SHA256H2, SHA256SU0, SHA256SU1).
#include <arm_neon.h>

#include "core/base/sha256_constants.h"
#include "loader/purgatory/blob/sha256.h"

namespace kdk::purgatory {

void compress_fast(uint32_t* state, const uint8_t* data, uint64_t blocks) {
  uint32x4_t abcd = vld1q_u32(state), efgh = vld1q_u32(state + 4);
  for (; blocks != 0; --blocks, data += 64) {
    uint32x4_t abcd_before = abcd, efgh_before = efgh;
    uint32x4_t w[4];  // the last 16 words of the message schedule, four at a time
    for (unsigned i = 0; i < 4; ++i) w[i] = vreinterpretq_u32_u8(vrev32q_u8(vld1q_u8(data + 16 * i)));
#pragma GCC unroll 16
    for (unsigned i = 0; i < 16; ++i) {
      uint32x4_t input = vaddq_u32(w[i % 4], vld1q_u32(sha256_round_constants.data() + 4 * i));
      uint32x4_t before = abcd;
      abcd = vsha256hq_u32(abcd, efgh, input);
      efgh = vsha256h2q_u32(efgh, before, input);
      if (i < 12) {
        w[i % 4] = vsha256su1q_u32(vsha256su0q_u32(w[i % 4], w[(i + 1) % 4]), w[(i + 2) % 4], w[(i + 3) % 4]);
      }
    }
    abcd = vaddq_u32(abcd, abcd_before);
    efgh = vaddq_u32(efgh, efgh_before);
  }
  vst1q_u32(state, abcd);
  vst1q_u32(state + 4, efgh);
}

}  // namespace kdk::purgatory
