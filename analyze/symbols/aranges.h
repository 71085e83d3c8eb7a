// .debug_aranges: which compilation unit an address belongs to. Source: DWARF 5 section 6.1.2 (the same since
// DWARF 2, where it is 6.1.2, too).
#pragma once

#include <cstdint>
#include <vector>

#include "core/base/bytes.h"

namespace kdk {

struct UnitRange {
  uint64_t begin = 0, end = 0;  // link addresses, end exclusive
  uint64_t unit = 0;            // offset of the unit's header in .debug_info, bytes
};

// Ranges that hold an address, sorted by where they begin. What is damaged, or in a form that 64-bit kernels
// do not have (segments, 32-bit addresses), is left out. Little-endian.
std::vector<UnitRange> read_aranges(Bytes section);

}  // namespace kdk
