// A configuration file of another kdump.
#include "capture/import/import_config.h"
#include "capture/run/run_config.h"
#include "core/base/error.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace kdk;
  if (size > 64 << 10) return 0;
  try {
    const ImportedConfig imported = import_config({{"fuzz", std::string(as_text({data, size}))}});
    // Of plain text it makes TOML that can be read, whatever the values are.
    try {
      (void)ConfigFile::parse(imported.toml, "imported");
    } catch (const Error&) {
      bool plain = true;
      for (size_t i = 0; i < size; ++i)
        plain = plain && ((data[i] >= 0x20 && data[i] < 0x7f) || data[i] == '\n');
      if (plain) __builtin_trap();
    }
    (void)read_run_config(ConfigFile::parse(imported.toml, "imported"));
  } catch (const Error&) {
  }
  return 0;
}
