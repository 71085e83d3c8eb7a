#include "loader/prove/dump_places.h"

#include <fmt/format.h>

#include <array>

#include "core/config/config_file.h"
#include "loader/machine/parse.h"

namespace kdk {
namespace {

constexpr std::string_view config_path = "/etc/kdumpkit.toml";
constexpr uint64_t max_mounts = 4 << 20;

// "LABEL=crash" as udev has it: /dev/disk/by-label/crash.
std::string device_path(const std::string& device) {
  struct Tag {
    std::string_view prefix, directory;
  };
  constexpr std::array tags = {Tag{"LABEL=", "by-label"}, Tag{"UUID=", "by-uuid"},
                               Tag{"PARTLABEL=", "by-partlabel"}, Tag{"PARTUUID=", "by-partuuid"}};
  for (const Tag& tag : tags) {
    if (device.starts_with(tag.prefix))
      return fmt::format("/dev/disk/{}/{}", tag.directory, device.substr(tag.prefix.size()));
  }
  return device;
}

std::string canonical(const SysRoot& root, const std::string& path) {
  std::error_code error;
  std::filesystem::path real = std::filesystem::canonical(root.path(path), error);
  return error ? std::string() : real.string();
}

// Where the device is mounted now; empty: nowhere. fs/proc_namespace.c: "device directory type options 0 0",
// white space as octal escapes.
std::string mount_point(const SysRoot& root, const std::string& device) {
  std::string wanted = canonical(root, device_path(device));
  if (wanted.empty() || !root.exists("/proc/self/mounts")) return {};
  std::string text = read_text_file(root.path("/proc/self/mounts"), max_mounts);
  for (std::string_view rest = text; !rest.empty();) {
    std::string_view line = next_token(rest, '\n');
    std::string source(next_token(line, ' '));
    std::string directory(next_token(line, ' '));
    if (source.starts_with('/') && directory.find('\\') == std::string::npos &&
        canonical(root, source) == wanted) {
      return directory;
    }
  }
  return {};
}

void add_target(const SysRoot& root, ConfigTable& target, DumpPlaces& places) {
  std::string kind = target.required_text("kind");
  if (kind == "directory") {
    places.directories.push_back(target.required_path("path").string());
  } else if (kind == "mount") {
    std::string device = target.required_text("device");
    std::string directory = mount_point(root, device);
    if (directory.empty()) {
      places.notes.push_back(fmt::format("{} is not mounted, so it was not searched", device));
      return;
    }
    // "dumps" and "/dumps" both mean below the mount.
    std::string path = target.text("path").value_or("");
    path.erase(0, path.find_first_not_of('/'));
    places.directories.push_back((std::filesystem::path(directory) / path).string());
  } else if (kind == "raw") {
    places.notes.push_back(
        fmt::format("the partition {} was not searched: kdump-capture fetch gets a dump from it",
                    target.required_text("device")));
  } else {
    places.notes.push_back(
        fmt::format("the target of kind {} was not searched: it is another machine's", kind));
  }
}

}  // namespace

DumpPlaces find_dump_places(const SysRoot& root) {
  DumpPlaces places;
  if (!root.exists(config_path)) return places;
  try {
    for (ConfigTable& target : ConfigFile::read(root.path(config_path)).tables("target"))
      add_target(root, target, places);
  } catch (const Error& e) {
    places.notes.push_back(e.message());
  }
  return places;
}

}  // namespace kdk
