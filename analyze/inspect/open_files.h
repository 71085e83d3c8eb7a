// Files that processes have open.
// Source: include/linux/fdtable.h, include/linux/fs.h, fs/file.c.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "analyze/inspect/one_task.h"
#include "analyze/inspect/paths.h"
#include "analyze/inspect/sockets.h"
#include "core/kernel/typed_memory.h"

namespace kdk {

struct OpenFile {
  uint32_t fd = 0;
  uint64_t address = 0;  // struct file
  std::string kind;      // "file", "directory", "socket", "pipe", "character device", ...; "?": unknown
  std::string path;      // escaped; empty: not known
  bool deleted = false;
  std::string type;  // of its file system; escaped
  std::optional<uint64_t> inode, position, flags;
  std::string access;  // "r", "w", "rw", "-"
  std::optional<Socket> socket;
};

struct ProcessFiles {
  StackOwner task;
  std::string directory, root, program;  // working directory, root, what it runs; escaped
  std::vector<OpenFile> files;
  std::optional<uint64_t> places;  // of its table
  std::string error;               // why there are none; escaped
};

struct FileListing {
  std::vector<ProcessFiles> processes;
  std::vector<std::string> not_found;  // what was asked for and is no task; escaped
  std::vector<std::string> problems;
};

// Of the task at `task`. What cannot be read is absent, or named in `problems`.
ProcessFiles read_open_files(TypedMemory& types, VirtAddr task, std::vector<std::string>& problems);

}  // namespace kdk
