#include "loader/signature/kernel_crypto.h"

#include <algorithm>
#include <array>
#include <utility>

#include "loader/machine/parse.h"

namespace kdk {
namespace {

constexpr uint64_t max_list = 4 << 20;

// What each is built by; the first whose name begins like this.
constexpr std::array<std::pair<std::string_view, std::string_view>, 10> options = {{
    {"md5", "CONFIG_CRYPTO_MD5"},
    {"sha1", "CONFIG_CRYPTO_SHA1"},
    {"sha224", "CONFIG_CRYPTO_SHA256"},
    {"sha256", "CONFIG_CRYPTO_SHA256"},
    {"sha384", "CONFIG_CRYPTO_SHA512"},
    {"sha512", "CONFIG_CRYPTO_SHA512"},
    {"sha3-", "CONFIG_CRYPTO_SHA3"},
    {"sm3", "CONFIG_CRYPTO_SM3_GENERIC"},
    {"rsa", "CONFIG_CRYPTO_RSA"},
    {"ecdsa", "CONFIG_CRYPTO_ECDSA"},
}};

}  // namespace

KernelCrypto::KernelCrypto(std::optional<std::string> list, KernelConfig config)
    : config_(std::move(config)) {
  if (!list) return;
  listed_.emplace();
  std::string_view text = *list;
  while (!text.empty()) {
    std::string_view value = next_token(text, '\n');
    std::string_view field = next_token(value, ':');
    if (!field.starts_with("name") || value.empty()) continue;
    std::string_view name = value.substr(1);
    // The curve is a part of the name there: "ecdsa-nist-p256".
    listed_->emplace(name.starts_with("ecdsa") ? "ecdsa" : name);
  }
}

std::optional<bool> KernelCrypto::has(std::string_view algorithm) const {
  if (listed_ && listed_->contains(algorithm)) return true;
  auto option = std::find_if(options.begin(), options.end(),
                             [&](const auto& entry) { return algorithm.starts_with(entry.first); });
  if (option == options.end()) return std::nullopt;
  std::optional<bool> built = config_.enabled(option->second);
  if (built == true) return true;
  // Only both together: another option may have built a faster one, which the list shows.
  return listed_ ? built : std::nullopt;
}

KernelCrypto read_kernel_crypto(const SysRoot& root, const KernelConfig& config) {
  std::optional<std::string> list;
  try {
    if (root.exists("/proc/crypto")) list = read_text_file(root.path("/proc/crypto"), max_list);
  } catch (const Error&) {
    // Then what the kernel lacks is not known, which never refuses an image.
  }
  return {std::move(list), config};
}

}  // namespace kdk
