// Reading flattened device trees with libfdt: what the editor (dtb.cc) and the readers share.
//
// Source: Devicetree Specification, chapter 5 (flattened format) and 2.3.5 (cells).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/bytes.h"

namespace kdk::fdt {

// libfdt returns negative error codes: Error{format}. Other values pass through.
int check(int result, std::string_view what);

// Whether libfdt can work on all of a tree: 0, or its (negative) error. In place of fdt_check_full, which
// follows a null pointer (libfdt 1.6.1) when the root node of a version before 16 has a name without a slash.
// Those versions are older than every kernel here (Devicetree Specification 5.2: 17, readable as 16).
int check_whole(Bytes tree);

uint32_t total_size_of(const std::vector<uint8_t>& tree);

// A whole, structurally sound tree in memory that libfdt can work on. Throws Error{format}.
std::vector<uint8_t> checked_copy(Bytes source);

// #address-cells or #size-cells of the root node: 1 or 2. Throws Error{unsupported} for other numbers.
unsigned root_cells(const std::vector<uint8_t>& tree, const char* name);

// The bytes live in `tree`; nullopt when the node has no such property.
std::optional<Bytes> find_property(const std::vector<uint8_t>& tree, int node, const std::string& name);

// A number of /chosen in one or two cells. Throws Error{format} when the property has another size.
std::optional<uint64_t> find_number(const std::vector<uint8_t>& tree, int chosen, const std::string& name);

}  // namespace kdk::fdt
