#include "capture/initramfs/device_chain.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>

#include "core/base/error.h"

namespace kdk {
namespace {

namespace fs = std::filesystem;

// A link's target below the root's sysfs; empty when there is no such link.
fs::path follow(const fs::path& link) {
  std::error_code error;
  return fs::exists(link, error) ? fs::canonical(link, error) : fs::path();
}

// udev writes what is odd in a label as \xNN. Source: encode_devnode_name() in systemd.
std::string udev_encoded(std::string_view value) {
  std::string out;
  for (const char c : value) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = std::isalnum(byte) != 0 ||
                       std::string_view("#+-.:=@_").find(c) != std::string_view::npos || byte >= 0x80;
    out += plain ? std::string(1, c) : fmt::format("\\x{:02x}", byte);
  }
  return out;
}

// What the device mapper's users write in front of a device's uuid.
std::string kind_of_mapping(const fs::path& device) {
  std::error_code error;
  if (!fs::exists(device / "dm" / "uuid", error))
    return fs::exists(device / "md", error) ? "software RAID" : "a virtual device";
  const std::string uuid = read_text_file(device / "dm" / "uuid", 4096);
  if (uuid.starts_with("LVM-")) return "a logical volume (LVM)";
  if (uuid.starts_with("CRYPT-")) return "encrypted";
  if (uuid.starts_with("mpath-")) return "multipath";
  return "made by the device mapper";
}

class Walk {
 public:
  explicit Walk(const SysRoot& root) : devices_(follow(root.path("/sys/devices"))) {}

  void up(const fs::path& device) {
    std::vector<fs::path> path;
    for (fs::path at = device; at != devices_ && at.has_relative_path(); at = at.parent_path())
      path.push_back(at);
    std::ranges::reverse(path);
    for (const fs::path& at : path) {
      if (!seen_.insert(at).second) continue;
      suppliers(at);
      add(at);
    }
  }

  std::vector<ChainDevice> take() { return std::move(chain_); }

 private:
  void add(const fs::path& device) {
    ChainDevice out{device, {}, {}};
    const fs::path module = follow(device / "driver" / "module");
    if (!module.empty()) out.module = module.filename().string();
    std::error_code error;
    if (fs::exists(device / "modalias", error)) {
      out.alias = read_text_file(device / "modalias", 65536);
      while (!out.alias.empty() && out.alias.back() == '\n') out.alias.pop_back();
    }
    // Without a driver it takes no part: a modalias may ask for one that nobody needs.
    if (follow(device / "driver").empty()) return;
    chain_.push_back(std::move(out));
  }

  // Clocks, regulators, interrupt controllers of a board: devices beside the path, which must work first.
  void suppliers(const fs::path& device) {
    std::error_code error;
    std::vector<fs::path> links;
    for (const auto& entry : fs::directory_iterator(device, error)) {
      if (entry.path().filename().string().starts_with("supplier:")) links.push_back(entry.path());
    }
    std::ranges::sort(links);
    for (const fs::path& link : links) {
      const fs::path supplier = follow(link / "supplier");
      if (!supplier.empty()) up(supplier);
    }
  }

  const fs::path devices_;
  std::set<fs::path> seen_;
  std::vector<ChainDevice> chain_;
};

}  // namespace

BlockDevice block_device_of_number(const SysRoot& root, const std::string& number) {
  const fs::path device = follow(root.path("/sys/dev/block/" + number));
  if (device.empty()) throw Error(Errc::missing, fmt::format("there is no block device {}", number));
  return {device.filename().string(), number};
}

BlockDevice block_device(const SysRoot& root, const std::string& device) {
  std::string file = device;
  if (const size_t equals = device.find('='); device.front() != '/' && equals != std::string::npos) {
    std::string kind = device.substr(0, equals);
    std::ranges::transform(kind, kind.begin(),
                           [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    file = fmt::format("/dev/disk/by-{}/{}", kind, udev_encoded(device.substr(equals + 1)));
  }
  const fs::path node = follow(root.path(file));
  const std::string name = node.filename().string();
  std::error_code error;
  const fs::path number = root.path("/sys/class/block/" + name) / "dev";
  if (name.empty() || !fs::exists(number, error)) {
    throw Error(Errc::missing, fmt::format("{}: there is no such block device now", device))
        .with_hint("connect it, or take the target out of the configuration");
  }
  std::string text = read_text_file(number, 64);
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return {name, text};
}

std::string stable_name(const SysRoot& root, const BlockDevice& device) {
  std::error_code error;
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(root.path("/dev/disk/by-uuid"), error)) {
    if (fs::read_symlink(entry.path(), error).filename() == device.name)
      names.push_back(entry.path().filename().string());
  }
  if (names.empty()) return "/dev/" + device.name;
  std::ranges::sort(names);
  return "UUID=" + names.front();
}

std::vector<ChainDevice> device_chain(const SysRoot& root, const BlockDevice& device) {
  const fs::path path = follow(root.path("/sys/dev/block/" + device.number));
  if (path.empty()) throw Error(Errc::missing, fmt::format("{}: sysfs does not have it", device.name));
  Walk walk(root);
  const std::string text = path.lexically_relative(follow(root.path("/sys/devices"))).string();
  if (text.starts_with("virtual/nvme-subsystem/")) {
    // One namespace behind several controllers: each is a link in the subsystem's directory.
    const fs::path subsystem = path.parent_path();
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(subsystem, error)) {
      if (entry.is_symlink(error) && entry.path().filename().string().starts_with("nvme"))
        walk.up(follow(entry.path()));
    }
  } else if (text.starts_with("virtual/")) {
    throw Error(Errc::unsupported,
                fmt::format("{} is {}: its drivers alone do not make it", device.name, kind_of_mapping(path)))
        .with_hint("dump to a partition or a whole disk");
  }
  walk.up(path);
  return walk.take();
}

std::vector<ChainDevice> device_chain(const SysRoot& root, const fs::path& device) {
  Walk walk(root);
  walk.up(follow(device));
  return walk.take();
}

}  // namespace kdk
