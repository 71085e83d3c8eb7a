#include "capture/initramfs/crash_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <sstream>

#include "capture/initramfs/network_path.h"
#include "capture/run/devices.h"
#include "capture/run/mount_table.h"
#include "core/base/error.h"

namespace kdk {
namespace {

namespace fs = std::filesystem;

std::vector<Mount> mounts(const SysRoot& root) {
  return parse_mounts(read_text_file(root.path("/proc/self/mountinfo")));
}

// The block device under a mount. A btrfs has a number of its own, and names its device.
BlockDevice device_of(const SysRoot& root, const Mount& mount, const fs::path& path) {
  if (!mount.number.starts_with("0:")) return block_device_of_number(root, mount.number);
  if (mount.source.starts_with("/dev/")) return block_device(root, mount.source);
  throw Error(Errc::unsupported, fmt::format("{} is on {} ({}), which a crash kernel cannot mount",
                                             path.string(), mount.point.string(), mount.type))
      .with_hint("give a directory on a disk, or a target of another kind");
}

CrashTarget from_directory(const SysRoot& root, const RunTarget& from) {
  // As far as it exists, links in it are followed: in the crash kernel the path begins at the file system.
  std::error_code error;
  fs::path path = from.path;
  if (root.is_live()) {
    path = fs::weakly_canonical(from.path, error);
    if (error) throw error_from_errno(error.value(), from.path.string());
  }
  const std::vector<Mount> table = mounts(root);
  const Mount& mount = mount_of(table, path);
  CrashTarget out{from, device_of(root, mount, path)};
  out.target.kind = TargetKind::mount;
  out.target.device = stable_name(root, out.device);
  out.target.file_system = mount.type;
  out.target.path = path_inside(mount, path);
  // Paths in mountinfo begin at the top of a btrfs, whatever its default subvolume is.
  if (mount.type == "btrfs") out.target.options = "subvolid=5";
  return out;
}

// udev has looked into every device, and whoever may not open devices can read what it saw. Source: sd_device's
// database, /run/udev/data/bMAJOR:MINOR, lines "E:KEY=VALUE".
std::string known_to_udev(const SysRoot& root, const BlockDevice& device) {
  const std::string file = "/run/udev/data/b" + device.number;
  if (!root.exists(file)) return {};
  constexpr std::string_view key = "E:ID_FS_TYPE=";
  std::istringstream in(read_text_file(root.path(file), 1 << 20));
  for (std::string line; std::getline(in, line);)
    if (line.starts_with(key)) return line.substr(key.size());
  return {};
}

CrashTarget from_device(const SysRoot& root, const RunTarget& from) {
  CrashTarget out{from, block_device(root, from.device)};
  if (from.kind == TargetKind::raw || !from.file_system.empty()) return out;
  for (const Mount& mount : mounts(root)) {
    if (mount.number == out.device.number) out.target.file_system = mount.type;
  }
  if (out.target.file_system.empty()) out.target.file_system = known_to_udev(root, out.device);
  if (out.target.file_system.empty() && root.is_live())
    out.target.file_system = file_system_type("/dev/" + out.device.name);
  if (out.target.file_system.empty()) {
    throw Error(Errc::missing, fmt::format("{}: the type of its file system cannot be told", from.device))
        .with_hint("give it in the configuration: type = \"ext4\"");
  }
  return out;
}

CrashTarget crash_target(const SysRoot& root, const RunTarget& target) {
  switch (target.kind) {
    case TargetKind::directory:
      return from_directory(root, target);
    case TargetKind::mount:
    case TargetKind::raw:
      return from_device(root, target);
    case TargetKind::nfs:
    case TargetKind::ssh:
    case TargetKind::http:
      break;
  }
  return {target, {}};
}

// The interfaces that lead to the servers, unless the configuration says which ones to bring up.
std::vector<NetworkConfig> networks(const SysRoot& root, const CrashConfig& crash, const RunConfig& config) {
  const std::vector<Route> routes = read_routes(root);
  std::vector<NetworkConfig> wanted = config.networks;
  if (wanted.empty()) {
    for (const auto& [name, address] : crash.hosts) {
      const Route* route = route_to(routes, address);
      if (route == nullptr || route->interface == "lo") {
        throw Error(Errc::missing,
                    fmt::format("{} ({}): no network interface leads there now", name, address))
            .with_hint("make the initramfs when the network is up, or give a [[network]]");
      }
      if (std::ranges::find(wanted, route->interface, &NetworkConfig::interface) != wanted.end()) continue;
      NetworkConfig network;
      network.interface = route->interface;
      network.wait = std::chrono::seconds(20);
      wanted.push_back(network);
    }
  }
  std::vector<NetworkConfig> out;
  for (const NetworkConfig& network : wanted) out.push_back(crash_network(root, network, routes));
  return out;
}

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;  // the reader lets no control characters pass
  }
  return out + '"';
}

void append(std::string& out, std::string_view key, std::string_view value) {
  if (!value.empty()) out += fmt::format("{} = {}\n", key, quoted(value));
}

void append_target(std::string& out, const RunTarget& target) {
  out += fmt::format("\n[[target]]\nkind = {}\n", quoted(to_string(target.kind)));
  append(out, "device", target.device);
  append(out, "type", target.file_system);
  append(out, "options", target.options);
  append(out, "server", target.server);
  append(out, "export", target.exported);
  append(out, "url", target.url);
  if (target.credentials) append(out, "credentials", target.credentials->string());
  if (target.authority) append(out, "ca_file", target.authority->string());
  append(out, "s3_region", target.s3_region);
  if (target.kind == TargetKind::http) {
    out += fmt::format("part_size = \"{}K\"\ntries = {}\n", target.part_bytes >> 10, target.tries);
  } else if (target.kind == TargetKind::ssh) {
    std::vector<std::string> words;
    for (const std::string& word : target.command) words.push_back(quoted(std::string_view(word)));
    out += fmt::format("command = [{}]\n", fmt::join(words, ", "));
  }
  if (target.kind != TargetKind::raw && target.kind != TargetKind::http)
    append(out, "path", target.path.string());
  out += fmt::format("wait = \"{}s\"\n", target.wait.count());
  if (target.keep != 0) out += fmt::format("keep = {}\n", target.keep);
  if (target.keep_bytes != 0) out += fmt::format("keep_size = \"{}K\"\n", target.keep_bytes >> 10);
  if (target.encrypt_to) append(out, "encrypt_to", target.encrypt_to->string());
  if (target.max_bytes != 0) out += fmt::format("max_size = \"{}K\"\n", target.max_bytes >> 10);
}

}  // namespace

CrashConfig crash_config(const SysRoot& root, const RunConfig& config) {
  for (const FinalAction action : {config.final_action, config.failure_action}) {
    if (action == FinalAction::shell) {
      throw Error(Errc::unsupported, "final_action, failure_action: there is no shell in this initramfs")
          .with_hint("use reboot, poweroff or halt");
    }
  }
  CrashConfig out{config, {}, {}};
  out.config.targets.clear();
  out.config.networks.clear();
  for (size_t i = 0; i < config.targets.size(); ++i) {
    const std::string what = fmt::format("target {} ({})", i + 1, config.targets[i].describe());
    out.targets.push_back(with_context(what, [&] { return crash_target(root, config.targets[i]); }));
    if (is_remote(config.targets[i].kind)) {
      const std::string server = server_of(config.targets[i]);
      const std::string address = with_context(what, [&] { return look_up(server); });
      out.hosts.emplace_back(server, address);
      // The kernel is told an address; ssh and libcurl read /etc/hosts.
      if (config.targets[i].kind == TargetKind::nfs) out.targets.back().target.server = address;
    }
    out.config.targets.push_back(out.targets.back().target);
  }
  if (!out.hosts.empty())
    out.config.networks = with_context("network", [&] { return networks(root, out, config); });
  return out;
}

std::string to_toml(const RunConfig& config) {
  std::string out = "# Made by kdumpkit-mkinitramfs of /etc/kdumpkit.toml.\n[capture]\n";
  const std::string levels = fmt::format("{}", fmt::join(config.levels, ", "));
  out += config.levels.size() == 1 ? "level = " + levels + "\n" : "level = [" + levels + "]\n";
  const bool has_level = config.codec_level != 0;
  append(out, "compress",
         has_level ? fmt::format("{}:{}", to_string(config.codec), config.codec_level)
                   : std::string(to_string(config.codec)));
  if (config.threads != 0) out += fmt::format("threads = {}\n", config.threads);
  append(out, "progress", to_string(config.progress));
  if (config.scrub) append(out, "scrub", config.scrub->string());
  if (config.scrub_strict) out += "scrub_strict = true\n";
  out += fmt::format("\n[run]\nconsole_lines = {}\n", config.console_lines);
  const auto seconds = [&out](std::string_view key, std::chrono::seconds value) {
    out += fmt::format("{} = \"{}s\"\n", key, value.count());
  };
  seconds("prepare_deadline", config.prepare_deadline);
  seconds("log_deadline", config.log_deadline);
  seconds("summary_deadline", config.summary_deadline);
  seconds("dump_deadline", config.dump_deadline);
  seconds("total_deadline", config.total_deadline);
  seconds("stall", config.stall);
  append(out, "watchdog", config.watchdog);
  seconds("watchdog_timeout", config.watchdog_timeout);
  append(out, "final_action", to_string(config.final_action));
  append(out, "failure_action", to_string(config.failure_action));
  for (const NetworkConfig& network : config.networks) out += to_toml(network);
  for (const RunTarget& target : config.targets) append_target(out, target);
  return out;
}

fs::path dump_directory(const SysRoot& root, const RunTarget& target) {
  if (target.kind == TargetKind::directory) return target.path;
  if (target.kind != TargetKind::mount) return {};
  const BlockDevice device = block_device(root, target.device);
  for (const Mount& mount : mounts(root)) {
    if (mount.number == device.number && mount.inside == "/")
      return (mount.point / target.path).lexically_normal();
  }
  return {};
}

}  // namespace kdk
