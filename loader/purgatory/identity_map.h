// arm64 page tables that map physical memory at its own address, for the time of the digest's check. They are
// made here, with the crash region known, so that the purgatory only has to switch them on.
//
// The granule is the running kernel's page size: it runs, so its CPUs have it. Addresses have 48 bits, which
// all three granules reach without LPA or LPA2. Only the given range is mapped: a speculative access to
// anything else, devices or secure memory, may be fatal. Source: Arm ARM, D8.3 (descriptor formats).
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "loader/machine/memory_map.h"

namespace kdk::purgatory {

constexpr uint64_t identity_map_limit = uint64_t{1} << 48;  // mapped memory ends below or here

// 4096, 16384 or 65536: TG0 of TCR at its place. nullopt: no granule.
std::optional<uint64_t> translation_granule(uint64_t page_size);

// Tables that will lie at physical address `at`, a multiple of the page size, with the root first. `memory`
// is write-back cacheable, readable, writable and executable. It must start and end on pages and end at most
// at identity_map_limit; page_size must be a granule. Throws Error{unsupported} otherwise.
std::vector<uint8_t> make_identity_map(const Range& memory, uint64_t page_size, uint64_t at);

}  // namespace kdk::purgatory
