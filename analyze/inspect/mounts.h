// What is mounted where, in the namespace of a task.
// Source: fs/mount.h, fs/namespace.c, fs/proc_namespace.c, include/linux/mount.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "analyze/inspect/one_task.h"
#include "core/kernel/typed_memory.h"

namespace kdk {

struct Mount {
  uint64_t address = 0;  // struct mount
  uint64_t super_block = 0;
  std::optional<int64_t> id, parent;  // as in /proc/PID/mountinfo
  unsigned depth = 0;                 // below the root
  std::optional<uint32_t> major, minor;
  std::string source, type, target, root;  // root: of its file system, what is mounted; escaped
  std::string options;                     // "rw,nosuid,relatime"
};

struct Mounts {
  uint64_t name_space = 0;         // struct mnt_namespace
  std::optional<StackOwner> task;  // whose namespace it is; nullopt: that of init_task
  std::vector<Mount> mounts;       // each before what is mounted on it
  std::vector<std::string> problems;
};

// Of the task whose struct task_struct is at `task`. Throws Error{missing,fault}.
Mounts read_mounts(TypedMemory& types, VirtAddr task);

}  // namespace kdk
