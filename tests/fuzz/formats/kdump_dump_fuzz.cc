#include "tests/fuzz/formats/fuzz_dump.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  kdk::fuzz::open_and_read({data, size});
  return 0;
}
