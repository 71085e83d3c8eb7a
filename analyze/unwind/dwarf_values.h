// Types of DWARF as C writes them, and bytes printed by them.
#pragma once

#include <elfutils/libdw.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>

#include "core/base/bytes.h"

namespace kdk {

// "const struct file *", "char [16]", "void"; escaped, cut when it nests without end.
std::string type_name(Dwarf_Die* of);

// Bytes of a variable or member by its DW_AT_type; nullopt when that is not known or absurd.
std::optional<uint64_t> size_of_value(Dwarf_Die* of);

// Bytes of a value that the compiler left nowhere.
struct Hole {
  uint64_t offset = 0, size = 0;
};

// The value by the type of `of`: numbers, enumerators, characters, arrays of characters as strings; the
// members of a struct one level deep. What is in a hole is "<optimized out>". `note` may add to a pointer
// what it points to; its text is escaped already.
std::string print_value(Dwarf_Die* of, Bytes bytes, const std::function<std::string(uint64_t)>& note,
                        std::span<const Hole> holes = {});

// The type of a variable that points to something, as something whose type is what it points to; nullopt when
// it is no pointer.
std::optional<Dwarf_Die> pointer_type_of(Dwarf_Die* of);

}  // namespace kdk
