// How much effort a page is worth, told from a few samples of it before a compressor sees it.
#pragma once

#include <cstdint>

#include "core/base/bytes.h"

namespace kdk {

enum class Compressibility : uint8_t {
  repetitive,  // few different words: matches find nearly all there is to gain, entropy coding 2 % of it
  mixed,
  noise,  // random to all appearances: encrypted or compressed before
};

// Of a page of 4 KiB or more; smaller ones are mixed. A guess for choosing how to compress, never about what
// the bytes are: a wrong one costs room or time. Equal on every machine of one byte order. Plain C inside:
// safe under touch_guarded().
Compressibility estimate_compressibility(Bytes page) noexcept;

}  // namespace kdk
