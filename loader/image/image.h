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
  std::string_view format;  // "Image" (arm64), "bzImage" (x86)
  // What the kernel was unpacked from, outermost first: "none", "gzip", "unified kernel image, EFI zboot
  // (zstd)".
  std::string compression = "none";
  std::string release;                  // "6.12.0-1-amd64"; empty when the header does not say
  uint64_t image_size = 0;              // memory it needs from its first byte to start, BSS included
  uint64_t running_size = 0;            // what of it the kernel keeps once it runs; a bzImage unpacks itself
  uint64_t page_size = 0;               // 4096, 16384, 65536; 0 when the header does not say
  std::optional<uint64_t> text_offset;  // Image: from a 2 MiB aligned base
  std::optional<BzImage> bzimage;       // bzImage: its header
  uint64_t signature_size = 0;          // bytes of its PE certificate table; 0: not signed

  // The file is the kernel itself: kexec_file_load can be given the very file.
  bool is_plain() const { return compression == "none"; }
};

struct KernelImage {
  std::vector<uint8_t> bytes;  // the plain Image or bzImage
  KernelInfo info;
};

// Finds the arm64 Image in a file: plain, packed (decompress.h), in a zboot image, a unified kernel image or
// a vmlinux, or several of these around each other. Throws Error{unsupported} for other kinds of kernels
// (named where recognised), Error{format} for truncated or contradictory ones.
//
// Source: Documentation/arch/arm64/booting.rst, section 4 ("Call the kernel image");
// arch/arm64/include/asm/image.h; what the kernel refuses: arch/arm64/kernel/kexec_image.c.
KernelImage load_arm64_image(std::vector<uint8_t> file);

// The same for an x86 bzImage.
KernelImage load_bzimage(std::vector<uint8_t> file);

// What kind of kernel `file` looks like, for a loader that wants another kind: "an arm64 Image", "an ELF file
// (vmlinux)". An empty string when the bytes tell nothing.
std::string_view name_kernel_format(Bytes file);

// An unpacked image larger than this is refused: no kernel comes near, a decompression bomb does.
constexpr uint64_t max_image_bytes = uint64_t{1} << 30;

}  // namespace kdk
