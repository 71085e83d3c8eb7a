// A kernel file and what is packed inside it. Each layer can be signed on its own: firmware checks the
// outermost one, the running kernel the one that kexec_file_load gets, which is the innermost.
//
// Source: Linux drivers/firmware/efi/libstub/zboot-header.S; Documentation/arch/arm64/booting.rst and
// arch/x86/boot.rst; UAPI group, "Unified Kernel Image" (section .linux).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/base/bytes.h"

namespace kdk {

// A kind of image and what kexec_file_load says to it. Architectures are rows of a table.
struct ImageKind {
  std::string_view name;
  std::string_view architecture;   // the option of kernels that load it
  std::string_view verify_option;  // the one that makes them look at its PE signature
};

struct ImageLayer {
  std::string format;  // "Image", "bzImage", "EFI zboot", "unified kernel image", "gzip data", ...
  const ImageKind* kind = nullptr;  // nullptr: kexec_file_load takes no such image
  bool big_endian = false;          // arm64 Image of a big-endian kernel
  std::vector<uint8_t> bytes;
};

struct ImageLayers {
  std::vector<ImageLayer> layers;  // outermost first; never empty
  std::string problem;  // why the innermost layer could not be unpacked further; empty: it is the kernel
};

// Throws Error{format} when the file is no kernel of any kind; what cannot be unpacked is a problem.
ImageLayers open_image_layers(std::vector<uint8_t> file);

}  // namespace kdk
