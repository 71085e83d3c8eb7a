// Which mounted file system a path is on. Source: proc_pid_mountinfo(5).
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace kdk {

struct Mount {
  std::string number;            // "254:2"; "0:..." when no block device alone is behind it
  std::filesystem::path inside;  // what of the file system is mounted
  std::filesystem::path point;
  std::string type;
  std::string source;
};

// The text of /proc/self/mountinfo. Throws Error{format} for a line that is none.
std::vector<Mount> parse_mounts(std::string_view text);

// The mount that an absolute path is on; later mounts cover earlier ones. Throws Error{missing} when even /
// is not there.
const Mount& mount_of(const std::vector<Mount>& mounts, const std::filesystem::path& path);

// `path` as it is called in the root directory of the file system: no slash in front, "." for that directory
// itself.
std::filesystem::path path_inside(const Mount& mount, const std::filesystem::path& path);

}  // namespace kdk
