#include "capture/run/devices.h"

#include <fmt/format.h>
#include <sys/mount.h>
#ifdef KDK_BLKID
#include <blkid/blkid.h>
#endif

#include <array>
#include <cstdlib>
#include <memory>
#include <thread>

#include "core/base/error.h"

namespace kdk {
namespace {

namespace fs = std::filesystem;

// A string that libblkid gave.
std::string taken(char* text) {
  const std::unique_ptr<char, decltype(&std::free)> owner(text, &std::free);
  return text == nullptr ? std::string() : text;
}

fs::path look_for(const std::string& tag, const std::string& value) {
  // udev's links; a label with odd characters is written in escapes there, which libblkid knows.
  std::string kind;
  for (const char c : tag) kind += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  std::error_code error;
  const fs::path link = fs::path("/dev/disk/by-" + kind) / value;
  if (value.find('/') == std::string::npos && fs::exists(link, error)) return fs::canonical(link, error);
#ifdef KDK_BLKID
  return taken(::blkid_evaluate_tag(tag.c_str(), value.c_str(), nullptr));
#else
  return {};
#endif
}

}  // namespace

fs::path find_device(const std::string& device, std::chrono::seconds wait) {
  const auto end = std::chrono::steady_clock::now() + wait;
  const size_t equals = device.front() == '/' ? std::string::npos : device.find('=');
  for (;;) {
    fs::path found;
    std::error_code error;
    if (equals == std::string::npos) {
      if (fs::exists(device, error)) found = device;
    } else {
      found = look_for(device.substr(0, equals), device.substr(equals + 1));
    }
    if (!found.empty()) return found;
    if (std::chrono::steady_clock::now() >= end) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
  }
#ifndef KDK_BLKID
  if (equals != std::string::npos) {
    throw Error(Errc::unsupported,
                device + ": udev has no link for it, and this kdump-capture was built without libblkid");
  }
#endif
  throw Error(Errc::missing, fmt::format("{}: no such device after {} s", device, wait.count()));
}

std::string file_system_type([[maybe_unused]] const fs::path& device) {
#ifdef KDK_BLKID
  return taken(::blkid_get_tag_value(nullptr, "TYPE", device.c_str()));
#else
  return {};
#endif
}

MountOptions parse_mount_options(const std::string& options) {
  struct Flag {
    std::string_view name;
    unsigned long flag;
  };
  constexpr std::array<Flag, 9> flags = {{{"noatime", MS_NOATIME},
                                          {"nodiratime", MS_NODIRATIME},
                                          {"relatime", MS_RELATIME},
                                          {"nodev", MS_NODEV},
                                          {"noexec", MS_NOEXEC},
                                          {"nosuid", MS_NOSUID},
                                          {"sync", MS_SYNCHRONOUS},
                                          {"rw", 0},
                                          {"defaults", 0}}};
  MountOptions out;
  for (size_t at = 0; at < options.size();) {
    const size_t comma = std::min(options.find(',', at), options.size());
    const std::string_view option = std::string_view(options).substr(at, comma - at);
    at = comma + 1;
    bool known = option.empty();
    for (const Flag& flag : flags) {
      if (option != flag.name) continue;
      out.flags |= flag.flag;
      known = true;
    }
    if (!known) out.data += (out.data.empty() ? "" : ",") + std::string(option);
  }
  return out;
}

}  // namespace kdk
