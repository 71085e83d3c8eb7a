// Data packed in memory with each method that kernel files are packed with (gzip and zstd: fake_machine.h).
#pragma once

#include <cstdint>
#include <vector>

#include "core/base/bytes.h"

namespace kdk::testing {

std::vector<uint8_t> xz(Bytes data);
std::vector<uint8_t> lzma(Bytes data);
std::vector<uint8_t> lz4_legacy(Bytes data);  // lz4 -l
std::vector<uint8_t> lz4_frame(Bytes data);   // lz4
std::vector<uint8_t> lzop(Bytes data);

// Appends the size as Linux builds do.
std::vector<uint8_t> with_size(std::vector<uint8_t> packed, uint64_t size);

}  // namespace kdk::testing
