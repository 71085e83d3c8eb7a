// Puts the crash kernel's initramfs together. It holds kdump-init as /init, the static kdump-capture, the
// configuration, and the modules between this machine's CPU and the configured targets. No shell, nothing
// that mounts the root file system, and no library unless a target needs one: an ssh client's, libcurl.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "capture/initramfs/crash_config.h"
#include "core/base/file.h"

namespace kdk {

struct ImageRequest {
  std::string release;  // of the crash kernel
  RunConfig config;     // as read from /etc/kdumpkit.toml
  std::filesystem::path capture, init;
  // Not an image but its files, here: for an initramfs of dracut or initramfs-tools, whose own /init stays.
  std::filesystem::path tree = {};
  std::filesystem::path http_capture = {};  // with libcurl, for http targets; taken with its libraries
};

struct Image {
  std::vector<uint8_t> packed;  // gzip, which every kernel that takes an initramfs unpacks; or empty
  uint64_t unpacked_bytes = 0;  // in pages
  uint64_t module_bytes = 0;    // of that, modules and firmware
  uint64_t library_bytes = 0;   // of that, programs with shared libraries, and these
  std::string config;           // the text of /etc/kdumpkit.toml in it
  std::vector<std::string> modules, firmware;  // in load order; names of files
  std::vector<std::string> notes;              // what a person may want to know
};

// Throws Error, naming the target or the device, when it could not save a dump as configured.
Image build_image(const SysRoot& root, const ImageRequest& request);

}  // namespace kdk
