// Addresses as people type them: a number, or a symbol with or without an offset.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "core/kernel/kernel.h"

namespace kdk {

// "0x" and hexadecimal digits, or 16 hexadecimal digits as the kernel prints addresses; nullopt for anything
// else.
std::optional<uint64_t> parse_address(std::string_view text);

// The same, or a symbol, or "symbol+0x10", "symbol-8" (a number without 0x is decimal there). A per-CPU
// symbol is its place in the image. nullopt when no such symbol is known.
std::optional<uint64_t> find_address(Kernel& kernel, std::string_view text);

}  // namespace kdk
