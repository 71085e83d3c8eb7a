// Kernel modules as distributions pack them: plain, .xz, .zst or .gz. (The crash kernel gets them plain, so
// that it needs no CONFIG_MODULE_DECOMPRESS; the archive around them is packed anyway. Debug files of modules
// are packed the same way by some.)
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/bytes.h"

namespace kdk {

// What no module that is loaded comes near.
constexpr uint64_t max_unpacked_module = uint64_t{256} << 20;

// True for the first bytes of a packed file.
bool is_packed_module(Bytes file);

// By content, not by name. Throws Error{format} when it is damaged, more than about `limit` bytes or no ELF
// file once unpacked; `name` is for messages.
std::vector<uint8_t> unpack_module(Bytes file, std::string_view name, uint64_t limit = max_unpacked_module);

// A gzip stream; what follows it is not looked at. Throws Error{format} as below.
std::vector<uint8_t> unpack_gzip(Bytes packed, std::string_view name, uint64_t limit);
// One or more zstd frames. Throws Error{format} when they are damaged or more than about `limit` bytes come
// out.
std::vector<uint8_t> unpack_zstd(Bytes packed, std::string_view name, uint64_t limit);

// The values of `key` in the module's .modinfo ("firmware", "depends"), of its unpacked bytes.
std::vector<std::string> module_info(Bytes module, std::string_view key);

}  // namespace kdk
