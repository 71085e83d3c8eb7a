// Kernel files: recognised, unpacked in memory where that is allowed, and read for what loading needs to
// know.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/bytes.h"
#include "loader/image/bzimage.h"

namespace kdk {

// What a kernel file says about itself; plans and reports show it.
struct KernelInfo {
  std::string_view format;                // "Image" (arm64), "bzImage" (x86)
  std::string_view compression = "none";  // what the file was packed with: "none", "gzip", "zstd"
  std::string release;                    // "6.12.0-1-amd64"; empty when the header does not say
  uint64_t image_size = 0;                // memory it needs from its first byte, BSS included
  uint64_t page_size = 0;                 // 4096, 16384, 65536; 0 when the header does not say
  std::optional<uint64_t> text_offset;    // Image: from a 2 MiB aligned base
  std::optional<BzImage> bzimage;         // bzImage: its header
  uint64_t signature_size = 0;            // bytes of its PE certificate table; 0: not signed
};

struct KernelImage {
  std::vector<uint8_t> bytes;  // the plain Image
  KernelInfo info;
};

// Parses an arm64 Image, plain or packed with gzip or zstd. Throws Error{unsupported} for other kinds of
// kernels (named where recognised), Error{format} for truncated or contradictory ones.
//
// Source: Documentation/arch/arm64/booting.rst, section 4 ("Call the kernel image");
// arch/arm64/include/asm/image.h.
KernelImage load_arm64_image(std::vector<uint8_t> file);

// What kind of kernel `file` looks like, for a loader that wants another kind: "an arm64 Image", "an ELF file
// (vmlinux)". An empty string when the bytes tell nothing.
std::string_view name_kernel_format(Bytes file);

// An unpacked image larger than this is refused: no kernel comes near, a decompression bomb does.
constexpr uint64_t max_image_bytes = uint64_t{1} << 30;

}  // namespace kdk
