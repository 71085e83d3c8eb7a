// Relocation of the debug sections of a relocatable file, in place.
//
// Done here and not by libdwfl, which relocates whatever the file has, allocated sections and unwind tables
// included, and looks each symbol up by itself.
// Source: ELF-64 object file format (relocations); System V ABI AMD64 supplement, table 4.9; ELF for the Arm
// 64-bit Architecture, section 5.7.
#pragma once

#include <cstdint>
#include <span>

struct Elf;

namespace kdk {

// Applies every SHT_RELA section whose target is a debug section (.debug_*, not allocated); compressed ones
// are unpacked by libelf first. `addresses` are the sections' load addresses by index; what they do not have
// is 0, as are symbols that the file only refers to. The bytes behind `elf` must be writable. Damaged entries
// are stepped over. Throws Error{unsupported} when the machine's relocations are not known here.
void relocate_debug_sections(Elf* elf, uint16_t machine, std::span<const uint64_t> addresses);

}  // namespace kdk
