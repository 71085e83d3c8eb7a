// Kernels inside packed files, zboot images, unified kernel images and vmlinux: taken apart or refused.
#include <algorithm>
#include <cstdlib>

#include "loader/image/image.h"
#include "loader/image/layers.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace kdk;
  ImageLayers opened = open_image_layers({data, data + size});
  if (opened.layers.empty() || opened.layers.size() > 5 || opened.packing().empty()) std::abort();
  for (const ImageLayer& layer : opened.layers) {
    if (layer.bytes.size() > std::max<uint64_t>(size, max_image_bytes) || layer.name().empty()) std::abort();
  }
  if (!opened.problem && opened.layers.back().format == ImageFormat::unknown) std::abort();
  return 0;
}
