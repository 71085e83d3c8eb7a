// A kernel file and what is packed inside it, down to the kernel itself. Each layer can be signed on its own:
// firmware checks the outermost one, the running kernel the one it is given, which is the innermost.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "loader/image/decompress.h"

namespace kdk {

enum class ImageFormat { unknown, arm64_image, bzimage, vmlinux, zboot, unified, pe_program, packed };

struct ImageLayer {
  ImageFormat format = ImageFormat::unknown;
  PackFormat packing = PackFormat::none;  // of zboot and packed layers
  bool big_endian = false;                // arm64 Image of a big-endian kernel
  std::vector<uint8_t> bytes;

  // "Image", "bzImage", "EFI zboot", "gzip data": for people.
  std::string name() const;
};

struct ImageLayers {
  std::vector<ImageLayer> layers;  // outermost first; never empty
  std::optional<Error>
      problem;  // why the innermost layer could not be opened further; absent: it is the kernel

  // What the kernel was unpacked from: "none", "gzip", "unified kernel image, EFI zboot (zstd)".
  std::string packing() const;
};

// Takes the file apart, in memory. Never throws for what is in the file: that is a problem.
ImageLayers open_image_layers(std::vector<uint8_t> file);

// What a unified kernel image holds beside its kernel.
struct UnifiedExtras {
  std::vector<uint8_t> initrd;  // empty: none
  std::string command_line;     // empty: none
};
// Those of the outermost unified kernel image in `file`. Throws Error{unsupported} when there is none, and as
// unpack_kernel does for what cannot be opened on the way to it.
UnifiedExtras read_unified_extras(Bytes file);

// The same for a loader: the innermost layer, with the problem thrown, in the context of the layers around
// it.
struct UnpackedKernel {
  ImageLayer kernel;
  std::string packing;
};
UnpackedKernel unpack_kernel(std::vector<uint8_t> file);

}  // namespace kdk
