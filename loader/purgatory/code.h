// The purgatory's code: position-independent, entered at its first byte, followed by its Parameters. The
// bytes are generated (build.py) and the same in every build of kdump-load.
#pragma once

#include <cstdint>
#include <span>

namespace kdk::purgatory {

using Code = std::span<const uint32_t>;  // little-endian words
extern const Code arm64_code;
extern const Code x86_64_code;

}  // namespace kdk::purgatory
