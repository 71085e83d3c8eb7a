// The configuration that goes into the crash kernel's initramfs: what /etc/kdumpkit.toml says, in terms of a
// machine where nothing is mounted yet and no network is up. A directory becomes the file system that holds
// it; the network is as the running system has it.
#pragma once

#include <string>
#include <vector>

#include "capture/initramfs/device_chain.h"
#include "capture/run/run_config.h"
#include "core/base/file.h"

namespace kdk {

struct CrashTarget {
  RunTarget target;
  BlockDevice device;  // no name: it is over the network
};

struct CrashConfig {
  RunConfig config;  // its targets are those below, in the same order
  std::vector<CrashTarget> targets;
  std::vector<std::pair<std::string, std::string>> hosts;  // name and address of each server
};

// Throws Error that names the target, with what to do, for what an initramfs of ours cannot do: storage or
// network interfaces put together by software, a shell.
CrashConfig crash_config(const SysRoot& root, const RunConfig& config);

// As a file that read_run_config() reads back to the same. Every key is written.
std::string to_toml(const RunConfig& config);

// Where dumps of a target are found in the running system: a directory; empty when it is not mounted, or has
// none.
std::filesystem::path dump_directory(const SysRoot& root, const RunTarget& target);

}  // namespace kdk
