// Kernel modules as distributions pack them: plain, .xz, .zst or .gz. The crash kernel gets them plain, so
// that it needs no CONFIG_MODULE_DECOMPRESS; the archive around them is packed anyway.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/bytes.h"

namespace kdk {

// By content, not by name. Throws Error{format} when it is damaged or no ELF file once unpacked; `name` is
// for messages.
std::vector<uint8_t> unpack_module(Bytes file, std::string_view name);

// The values of `key` in the module's .modinfo ("firmware", "depends"), of its unpacked bytes.
std::vector<std::string> module_info(Bytes module, std::string_view key);

}  // namespace kdk
