// Names of files, out of dentries and mounts, as d_path() makes them: from the dentry upwards, over mount
// points into the file system above, to the root of the namespace. Source: fs/d_path.c, fs/mount.h,
// include/linux/dcache.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "analyze/inspect/object.h"

namespace kdk {

struct FilePath {
  std::string text;      // escaped; empty: not known
  bool deleted = false;  // the name is in no directory any more
  bool cut = false;      // its beginning could not be read
};

// Of a struct dentry in a struct vfsmount; without a mount, from the root of its file system.
FilePath path_of(Objects& objects, std::optional<VirtAddr> mount, VirtAddr dentry);
// Of a struct path.
FilePath path_of(Objects& objects, const Object& path);
// "ext4", "fuse.sshfs": of a struct super_block; escaped.
std::string file_system_type(const Object& super);

}  // namespace kdk
