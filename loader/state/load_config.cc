#include "loader/state/load_config.h"

#include <fmt/format.h>

#include <array>

namespace kdk {

LoadConfig read_load_config(const ConfigFile& file, std::string_view release) {
  file.only_known();
  LoadConfig config;
  ConfigTable table = file.table("load");
  const auto kernel = table.path("kernel");
  const auto initrd = table.path("initrd");
  if (kernel && !initrd) {
    throw table.error("kernel", "needs initrd: without it the initramfs would hold the running kernel's modules");
  }
  config.kernel = kernel ? kernel->string() : fmt::format("/boot/vmlinuz-{}", release);
  config.initrd = initrd ? initrd->string() : fmt::format("/var/lib/kdumpkit/initramfs-{}.img", release);
  config.command_line = table.text("command_line");
  config.append = table.text("append").value_or("");
  if (const auto call = table.word("syscall", {"auto", "file", "kexec"})) {
    constexpr std::array<std::optional<LoadCall>, 3> calls = {std::nullopt, LoadCall::kexec_file_load,
                                                              LoadCall::kexec_load};
    config.call = calls[*call];
  }
  if (const auto digest = table.word("digest", {"auto", "on", "off"}))
    config.digest = static_cast<DigestMode>(*digest);
  table.finish();
  return config;
}

void check_named_files(const ConfigFile& file) {
  ConfigTable table = file.table("load");
  for (const char* key : {"kernel", "initrd"}) {
    const auto path = table.path(key);
    std::error_code error;
    if (!path || std::filesystem::is_regular_file(*path, error)) continue;
    const bool absent = !error || error == std::errc::no_such_file_or_directory;
    throw table.error(key, fmt::format("{}: {}", path->string(), absent ? "there is no such file" : error.message()));
  }
}

}  // namespace kdk
