// A configuration file, as far as kdump-capture reads it; and block 0 of a raw partition.
#include "capture/run/raw_format.h"
#include "capture/run/run_config.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace kdk;
  if (size > 64 << 10) return 0;
  try {
    const RunConfig config = read_run_config(ConfigFile::parse(as_text({data, size}), "fuzz"));
    if (config.targets.empty() || config.dump_deadline > config.total_deadline) __builtin_trap();
    for (const RunTarget& target : config.targets) {
      if (target.describe().empty()) __builtin_trap();
    }
  } catch (const Error&) {
  }
  try {
    if (std::optional<RawHeader> header = decode_raw_header({data, size})) {
      if (header->files.size() > 8 ||
          decode_raw_header(encode(*header))->files.size() != header->files.size())
        __builtin_trap();
    }
  } catch (const Error&) {
  }
  return 0;
}
