// SHA-256 within the purgatory.
#pragma once

#include <cstdint>

namespace kdk::purgatory {

// Adds whole blocks of 64 bytes to `state`. `data` is a multiple of four.
extern "C" void compress(uint32_t* state, const uint8_t* data, uint64_t blocks);
// The same with the CPU's own instructions; only where has_instructions() is not 0, and with their registers
// enabled.
extern "C" void compress_fast(uint32_t* state, const uint8_t* data, uint64_t blocks);
extern "C" uint64_t has_instructions();

}  // namespace kdk::purgatory
