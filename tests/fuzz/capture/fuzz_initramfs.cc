// What kdumpkit-mkinitramfs reads: mountinfo, packed modules, and a configuration that it writes anew.
#include "capture/initramfs/crash_config.h"
#include "capture/run/mount_table.h"
#include "core/formats/unpack_module.h"
#include "core/base/error.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace kdk;
  if (size > 64 << 10) return 0;
  const Bytes input{data, size};
  try {
    const std::vector<Mount> mounts = parse_mounts(as_text(input));
    for (const char* path : {"/", "/var/crash", "/var/crash/../.."}) {
      const std::filesystem::path inside = path_inside(mount_of(mounts, path), path);
      // A way out of the file system would be a way into the crash kernel's own.
      if (inside.is_absolute() || inside.empty() || *inside.begin() == "..") __builtin_trap();
    }
  } catch (const Error&) {
  }
  try {
    const std::vector<uint8_t> module = unpack_module(input, "fuzz");
    for (const std::string& value : module_info(module, "firmware")) {
      if (value.find('\0') != std::string::npos) __builtin_trap();
    }
  } catch (const Error&) {
  }
  try {
    const std::string written = to_toml(read_run_config(ConfigFile::parse(as_text(input), "fuzz")));
    // What was read is written so that it reads as the same.
    if (to_toml(read_run_config(ConfigFile::parse(written, "written"))) != written) {
      __builtin_trap();
    }
  } catch (const Error&) {
  }
  return 0;
}
