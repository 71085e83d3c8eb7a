// Block devices and NFS exports: mounted for the time of the dump, then a directory.
#include <fmt/format.h>
#include <sys/mount.h>

#include <cerrno>

#include "capture/run/devices.h"
#include "capture/run/directory_place.h"
#include "core/base/error.h"

namespace kdk {
namespace {

std::filesystem::path mount_point(size_t index) {
  return fmt::format("/run/kdumpkit/target-{}", index + 1);
}

class MountPlace : public DirectoryPlace {
 public:
  MountPlace(const RunTarget& target, size_t index)
      : DirectoryPlace(mount_point(index) / target.path, target.keep, target.keep_bytes),
        target_(target),
        point_(mount_point(index)) {}
  MountPlace(const MountPlace&) = delete;
  MountPlace& operator=(const MountPlace&) = delete;
  ~MountPlace() override {
    if (mounted_) ::umount2(point_.c_str(), MNT_DETACH);
  }

  void prepare(const std::string& name) override {
    std::filesystem::create_directories(point_);
    // A killed try leaves its mount, and the kernel refuses the same again at the same place (EBUSY). Nothing
    // else is mounted there.
    ::umount2(point_.c_str(), MNT_DETACH);
    if (target_.kind == TargetKind::nfs) {
      mount_nfs();
    } else {
      mount_device();
    }
    mounted_ = true;
    DirectoryPlace::prepare(name);
  }

  std::string finish(bool whole, const std::function<void(uint64_t)>& progress) override {
    const std::filesystem::path inside =
        std::filesystem::path(DirectoryPlace::finish(whole, progress)).lexically_relative(point_);
    if (::umount2(point_.c_str(), 0) == 0) {
      mounted_ = false;
    } else {
      notes.push_back(error_from_errno(errno, "unmounting " + source_).message());
    }
    return fmt::format("{} {}", source_, inside.string());
  }

 private:
  void mount_nfs() {
    if (!is_ip_address(target_.server)) {
      throw Error(Errc::unsupported, target_.server + ": is a name, and a crash kernel has nobody to ask for it")
          .with_hint("give its address; kdumpkit-mkinitramfs looks it up");
    }
    const bool v6 = target_.server.find(':') != std::string::npos;
    source_ = fmt::format(fmt::runtime(v6 ? "[{}]:{}" : "{}:{}"), target_.server, target_.exported);
    MountOptions options =
        parse_mount_options(target_.options.empty() ? "vers=4.1,soft,timeo=100,retrans=3" : target_.options);
    // What mount.nfs4 would have added; the kernel resolves no names.
    options.data += (options.data.empty() ? "addr=" : ",addr=") + target_.server;
    mount("nfs4", options);
  }

  void mount_device() {
    const std::filesystem::path device = find_device(target_.device, target_.wait);
    source_ = device.string();
    const std::string type = target_.file_system.empty() ? file_system_type(device) : target_.file_system;
    if (type.empty()) {
      throw Error(Errc::unsupported, source_ + ": the type of its file system cannot be told")
          .with_hint("give it in the configuration: type = \"ext4\"");
    }
    mount(type, parse_mount_options(target_.options));
  }

  void mount(const std::string& type, const MountOptions& options) {
    if (::mount(source_.c_str(), point_.c_str(), type.c_str(), options.flags, options.data.c_str()) != 0) {
      throw error_from_errno(errno, fmt::format("mounting {} ({})", source_, type));
    }
  }

  const RunTarget target_;
  const std::filesystem::path point_;
  std::string source_;
  bool mounted_ = false;
};

}  // namespace

std::unique_ptr<Place> make_mount_place(const RunTarget& target, size_t index) {
  return std::make_unique<MountPlace>(target, index);
}

}  // namespace kdk
