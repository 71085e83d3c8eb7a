// /proc/softirqs: any text gives CPUs that it names, or an Error.
#include <fmt/format.h>

#include <cstdlib>

#include "core/base/bytes.h"
#include "core/base/error.h"
#include "loader/machine/softirqs.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace kdk;
  try {
    std::string_view text = as_text({data, size});
    for (unsigned cpu : cpus_that_ran(text)) {
      // The number may be written with zeros in front.
      if (text.find(fmt::format("{}", cpu)) == std::string_view::npos) std::abort();
    }
  } catch (const Error&) {
  }
  return 0;
}
