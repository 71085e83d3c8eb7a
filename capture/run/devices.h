// Block devices as people name them, and mounting them.
#pragma once

#include <chrono>
#include <filesystem>
#include <string>

namespace kdk {

// A path, or LABEL=, UUID=, PARTLABEL=, PARTUUID=; waits until it is there. Throws Error{missing} when it is
// not after `wait`, Error{unsupported} for a tag in a build without libblkid that udev has no link for.
std::filesystem::path find_device(const std::string& device, std::chrono::seconds wait);

// Type of the file system on a device; empty when it cannot be told.
std::string file_system_type(const std::filesystem::path& device);

// What mount(2) wants of options as mount(8) has them.
struct MountOptions {
  unsigned long flags = 0;
  std::string data;  // what is left for the file system
};
MountOptions parse_mount_options(const std::string& options);

}  // namespace kdk
