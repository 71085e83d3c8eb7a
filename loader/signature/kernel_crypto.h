// Which hashes and signature algorithms the running kernel can compute. A signature that needs another one
// does not hold there, whoever made it.
//
// Source: Linux crypto/proc.c (/proc/crypto lists what is registered; modules come when they are asked for),
// crypto/Kconfig.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "core/base/file.h"
#include "loader/machine/kernel_config.h"

namespace kdk {

class KernelCrypto {
 public:
  KernelCrypto() = default;
  // `list` is the text of /proc/crypto; nullopt: it could not be read.
  KernelCrypto(std::optional<std::string> list, KernelConfig config);

  // By the names of HashAlgorithm, or "rsa", "ecdsa". nullopt: not known.
  std::optional<bool> has(std::string_view algorithm) const;

 private:
  std::optional<std::set<std::string, std::less<>>> listed_;
  KernelConfig config_;
};

KernelCrypto read_kernel_crypto(const SysRoot& root, const KernelConfig& config);

}  // namespace kdk
