// Initramfs estimate: ends, stays inside the file, and respects its limit.
#include <cstdlib>

#include "core/base/error.h"
#include "loader/image/initrd.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace kdk;
  try {
    for (const char* init : {"bin/init", "usr/../init"}) {
      try {
        (void)estimate_initrd({data, size}, 4096, init, 1 << 20);
      } catch (const Error&) {
      }
    }
    InitrdEstimate estimate = estimate_initrd({data, size}, 4096, "init", 64 << 20);
    for (const InitrdMember& member : estimate.members) {
      if (!in_bounds(size, member.offset, member.packed_size)) std::abort();
    }
    if (estimate.memory > (64 << 20) && !estimate.over_limit) std::abort();
  } catch (const Error&) {
  }
  return 0;
}
