// The section [load] of a configuration file: an error, or what can be loaded.
#include <cstdlib>

#include "core/base/bytes.h"
#include "loader/state/load_config.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace kdk;
  if (size > 64 << 10) return 0;
  try {
    const LoadConfig config = read_load_config(ConfigFile::parse(as_text({data, size}), "fuzz"), "6.1");
    // Never a name that depends on where the program was started, never an empty one.
    if (!config.kernel.starts_with('/') || !config.initrd.starts_with('/')) std::abort();
    for (const std::string& text : {config.command_line.value_or(""), config.append}) {
      // It would end the line in the kernel's eyes.
      if (text.find('\0') != std::string::npos || text.find('\n') != std::string::npos) std::abort();
    }
  } catch (const Error&) {
  }
  return 0;
}
