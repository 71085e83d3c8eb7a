// EFI zboot headers: the payload is inside the file and its method one of those that can be unpacked, or an
// Error.
#include <cstdlib>

#include "core/base/error.h"
#include "loader/image/containers.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace kdk;
  const Bytes file(data, size);
  try {
    if (is_zboot_image(file)) {
      const ZbootImage zboot = read_zboot_image(file);
      const uint8_t* end = zboot.payload.data() + zboot.payload.size();
      if (zboot.payload.data() < data || end > data + size) std::abort();
      if (zboot.format == PackFormat::none || zboot.format == PackFormat::bzip2) std::abort();
    }
  } catch (const Error&) {
  }
  return 0;
}
