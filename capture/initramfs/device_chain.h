// What stands between the CPU and a device: the device itself, its controller, the bus that is on, and so on,
// each with the driver that runs it now. The crash kernel needs the same drivers, and nothing else, to reach
// the device. Source: Documentation/ABI/testing/sysfs-dev, Documentation/driver-api/device_link.rst.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "core/base/file.h"

namespace kdk {

struct ChainDevice {
  std::filesystem::path path;  // in sysfs
  std::string module;          // of its driver; empty: built in, or it has no driver
  std::string alias;           // modalias: what it asks for; may be empty
};

// A block device as the kernel names it: "vda2".
struct BlockDevice {
  std::string name;
  std::string number;  // "254:2"
};

// Of what people write: /dev/..., LABEL=, UUID=, PARTLABEL=, PARTUUID= (through udev's links). Throws
// Error{missing}.
BlockDevice block_device(const SysRoot& root, const std::string& device);
// Of a number, "254:2".
BlockDevice block_device_of_number(const SysRoot& root, const std::string& number);
// "UUID=...", by udev's links; /dev/NAME when there is none.
std::string stable_name(const SysRoot& root, const BlockDevice& device);

// The devices that must work for this one to, controllers before what is on them. Throws Error{unsupported}
// for a device that is put together by software (LVM, RAID, encryption): drivers alone do not make it.
std::vector<ChainDevice> device_chain(const SysRoot& root, const BlockDevice& device);
// The same of any device by its directory in sysfs.
std::vector<ChainDevice> device_chain(const SysRoot& root, const std::filesystem::path& device);

}  // namespace kdk
