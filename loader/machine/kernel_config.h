// How the running kernel was built, where a distribution leaves its configuration readable. Only ever used to
// say more: a missing configuration never makes a plan fail.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "core/base/file.h"

namespace kdk {

class KernelConfig {
 public:
  KernelConfig() = default;
  // `text` is a .config file: CONFIG_X=y, CONFIG_X=m, "# CONFIG_X is not set".
  KernelConfig(std::string source, std::string_view text);

  // nullopt when no configuration could be read.
  std::optional<bool> enabled(std::string_view option) const;
  // The file it came from; empty when there is none.
  const std::string& source() const { return source_; }

 private:
  std::string source_;
  std::set<std::string, std::less<>> enabled_;
};

// /proc/config.gz, /boot/config-RELEASE or /lib/modules/RELEASE/config, the first that can be read.
KernelConfig read_kernel_config(const SysRoot& root);

}  // namespace kdk
