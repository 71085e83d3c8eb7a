// bzImage headers: what an accepted one says lies inside the file and is fit to place a kernel by.
#include <cstdlib>

#include "core/base/error.h"
#include "loader/image/image.h"
#include "loader/image/pe.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace kdk;
  Bytes file(data, size);
  try {
    BzImage image = parse_bzimage(file);
    if (!in_bounds(size, image.setup_size, image.kernel_size)) std::abort();
    if (!in_bounds(size, image.payload_offset, image.payload_size)) std::abort();
    if (!is_power_of_two(image.alignment) || image.init_size > max_image_bytes) std::abort();
    if (image.release().size() > image.version.size() || image.version.size() > image.setup_size)
      std::abort();
    if (pe_signature_size(file) > size) std::abort();
    KernelInfo info = load_bzimage({file.begin(), file.end()}).info;
    if (info.running_size > info.image_size) std::abort();
  } catch (const Error&) {
  }
  return 0;
}
