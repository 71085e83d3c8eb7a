// Device trees: an edited one reads back as it was meant, whatever the original held.
#include <cstdlib>

#include "core/base/error.h"
#include "loader/plan/dtb.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace kdk;
  DtbRequest request;
  request.elfcorehdr = {0x7abf0000, 0x10000};
  request.usable_memory = {{0x6ac00000, 0x10000000}};
  request.initrd = Range{0x6ce40000, 0x12345};
  request.command_line = "panic=10";
  request.seeds.kaslr.fill(1);
  request.seeds.rng.fill(2);
  std::vector<uint8_t> edited;
  try {
    edited = edit_dtb({data, size}, request).bytes;
  } catch (const Error&) {
    return 0;
  }
  try {
    ChosenNode chosen = read_chosen(edited);
    if (chosen.elfcorehdr != request.elfcorehdr || chosen.usable_memory != request.usable_memory ||
        chosen.initrd != request.initrd || chosen.bootargs != request.command_line || !chosen.has_seeds) {
      std::abort();
    }
  } catch (const Error&) {
    std::abort();
  }
  return 0;
}
