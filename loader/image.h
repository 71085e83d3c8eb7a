// Kernel images: recognised, unpacked in memory, and read for what placement needs to know.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "core/base/bytes.h"

namespace kdk {

struct KernelImage {
  std::vector<uint8_t> bytes;    // the plain Image
  std::string_view compression;  // what it was packed with: "none", "gzip", "zstd"
  uint64_t text_offset = 0;      // from a 2 MiB aligned base
  uint64_t image_size = 0;       // memory it needs from its first byte, BSS included
  uint64_t page_size = 0;        // 4096, 16384, 65536; 0 when the header does not say
};

// Parses an arm64 Image, plain or packed with gzip or zstd. Throws Error{unsupported} for other kinds of
// kernels (named where recognised), Error{format} for truncated or contradictory ones.
//
// Source: Documentation/arch/arm64/booting.rst, section 4 ("Call the kernel image");
// arch/arm64/include/asm/image.h.
KernelImage load_arm64_image(std::vector<uint8_t> file);

// An unpacked image larger than this is refused: no kernel comes near, a decompression bomb does.
constexpr uint64_t max_image_bytes = uint64_t{1} << 30;

}  // namespace kdk
