// Debug sections that are packed with zstd (SHF_COMPRESSED, ELFCOMPRESS_ZSTD), which libelf before elfutils
// 0.189 does not know: Debian 12's. Those packed with zlib are left to libelf. Source: System V ABI,
// gABI 4.3, chapter 4, "Section compression".
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "core/base/bytes.h"

namespace kdk {

// The ELF file with such sections unpacked; nullopt when it has none (or its section table cannot be read:
// the reader says so). Throws Error{format} when one is damaged, Error{unsupported} when the file would be
// more than `limit` bytes.
std::optional<std::vector<uint8_t>> with_zstd_sections_unpacked(Bytes file, uint64_t limit);

}  // namespace kdk
