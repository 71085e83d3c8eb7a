#include "capture/run/room.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/statvfs.h>

#include <cerrno>
#include <system_error>

#include "capture/run/devices.h"
#include "capture/run/mount_table.h"
#include "core/base/error.h"
#include "core/base/file.h"

namespace kdk {
namespace {

uint64_t free_bytes(const std::filesystem::path& path) {
  struct statvfs found {};
  if (::statvfs(path.c_str(), &found) != 0) throw error_from_errno(errno, path.string());
  return uint64_t{found.f_bavail} * found.f_frsize;
}

// The directory itself may be made only when the first dump comes.
uint64_t room_below(std::filesystem::path path) {
  std::error_code error;
  while (!std::filesystem::exists(path, error) && path.has_relative_path()) path = path.parent_path();
  return free_bytes(path);
}

// Where something is mounted now; empty when it is not.
std::filesystem::path mount_point(const std::string& source) {
  std::error_code error;
  for (const Mount& mount : parse_mounts(read_text_file("/proc/self/mountinfo"))) {
    if (mount.source == source || std::filesystem::equivalent(mount.source, source, error))
      return mount.point;
  }
  return {};
}

uint64_t device_bytes(const std::filesystem::path& device) {
  const Fd fd = Fd::open(device, O_RDONLY);
  uint64_t bytes = 0;
  if (::ioctl(fd.get(), BLKGETSIZE64, &bytes) == 0) return bytes;
  if (errno == ENOTTY) return file_size(fd).value_or(0);  // an image of a disk, for tests
  throw error_from_errno(errno, device.string());
}

std::optional<uint64_t> find_room(const RunTarget& target, std::string& why_not) {
  std::filesystem::path mounted;
  switch (target.kind) {
    case TargetKind::directory:
      return room_below(target.path);
    case TargetKind::raw:
      return device_bytes(find_device(target.device, std::chrono::seconds(0)));
    case TargetKind::mount:
      mounted = mount_point(find_device(target.device, std::chrono::seconds(0)).string());
      break;
    case TargetKind::nfs:
      mounted = mount_point(target.server + ":" + target.exported);
      break;
    case TargetKind::ssh:
    case TargetKind::http:
      why_not = "a server tells only when the dump is sent";
      return std::nullopt;
  }
  if (!mounted.empty()) return free_bytes(mounted);
  why_not = "it is not mounted now";
  return std::nullopt;
}

}  // namespace

TargetRoom target_room(const RunTarget& target) {
  TargetRoom room;
  room.target = target.describe();
  try {
    room.available = find_room(target, room.why_unknown);
  } catch (const Error& e) {
    room.why_unknown = e.message();
  }
  return room;
}

}  // namespace kdk
