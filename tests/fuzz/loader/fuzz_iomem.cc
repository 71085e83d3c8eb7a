// /proc/iomem: any text gives a map whose ranges are sane, or an Error.
#include <cstdlib>

#include "core/base/bytes.h"
#include "core/base/error.h"
#include "loader/machine/memory_map.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace kdk;
  try {
    MemoryMap map = parse_iomem(as_text({data, size}));
    std::vector<Range> ram = map.system_ram();
    for (const Range& range : subtract_ranges(ram, map.crash_regions())) {
      if (range.size == 0 || !inside_any(range, ram)) std::abort();
    }
  } catch (const Error&) {
  }
  return 0;
}
