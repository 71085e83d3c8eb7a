// Kernel images: an accepted one fits the memory it asks for.
#include <cstdlib>

#include "core/base/error.h"
#include "loader/image/image.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace kdk;
  try {
    KernelImage image = load_arm64_image({data, data + size});
    if (image.bytes.size() > image.info.image_size || image.info.image_size > max_image_bytes) std::abort();
  } catch (const Error&) {
  }
  return 0;
}
