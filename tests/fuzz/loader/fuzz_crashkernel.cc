// A kernel command line with crashkernel= in it: any text is decided one way or the other, the same each
// time, and what is decided is less than the machine has.
#include <cstdlib>

#include "core/base/bytes.h"
#include "loader/reserve/crashkernel.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace kdk;
  constexpr uint64_t ram = uint64_t{6} << 30;
  std::string_view line = as_text({data, size});
  for (bool rounds_ram : {true, false}) {
    CrashkernelDecision decision = decide_crashkernel(line, ram, rounds_ram);
    bool reserves = decision.request.has_value();
    if (reserves && (decision.request->size == 0 || decision.request->size >= ram)) std::abort();
    if (!reserves && decision.options.empty() != decision.problem.empty()) std::abort();
    if (reserves && !decision.problem.empty()) std::abort();
  }
  return 0;
}
