// The scopes of DWARF that hold an address: for who reads variables. libdw's types do not go further than
// analyze/unwind.
#pragma once

#include <elfutils/libdw.h>

#include <cstdint>
#include <vector>

#include "analyze/symbols/dwarf.h"

namespace kdk {

// From the function (DW_TAG_subprogram) inwards: lexical blocks and inlined functions. Empty when no unit
// covers the address. By the file's own addresses. The DIEs live as long as the reader.
std::vector<Dwarf_Die> scopes_at(DwarfReader& reader, uint64_t address);

// Name of a DIE, its own or that of what it is a copy of; escaped; empty when it has none.
std::string name_of(Dwarf_Die die);

}  // namespace kdk
