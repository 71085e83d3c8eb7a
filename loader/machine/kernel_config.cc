#include "loader/machine/kernel_config.h"

#include "core/base/log.h"
#include "loader/image/decompress.h"
#include "loader/machine/parse.h"

namespace kdk {
namespace {

constexpr uint64_t max_config_text = 4 << 20;

}  // namespace

KernelConfig::KernelConfig(std::string source, std::string_view text) : source_(std::move(source)) {
  while (!text.empty()) {
    std::string_view line = next_token(text, '\n');
    std::string_view name = next_token(line, '=');
    if (name.starts_with("CONFIG_") && (line == "y" || line == "m")) enabled_.emplace(name);
  }
}

std::optional<bool> KernelConfig::enabled(std::string_view option) const {
  if (source_.empty()) return std::nullopt;
  return enabled_.contains(option);
}

KernelConfig read_kernel_config(const SysRoot& root) {
  std::string release = root.read_line("/proc/sys/kernel/osrelease").value_or("");
  std::vector<std::string> paths = {"/proc/config.gz"};
  // A release is one path component; anything else is not for building paths.
  if (!release.empty() && release.find('/') == std::string::npos) {
    paths.push_back("/boot/config-" + release);
    paths.push_back("/lib/modules/" + release + "/config");
  }
  for (const std::string& path : paths) {
    if (!root.exists(path)) continue;
    try {
      std::vector<uint8_t> content = read_file(root.path(path), max_config_text);
      PackFormat format = detect_pack_format(content);
      if (format == PackFormat::gzip) content = unpack_all(content, format, max_config_text);
      return KernelConfig(path, as_text(content));
    } catch (const Error& e) {
      log_info("{}: {}", path, e.message());
    }
  }
  return {};
}

}  // namespace kdk
