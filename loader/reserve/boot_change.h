// Changes boot loader files so that it can be taken back: what was there is kept first, in
// /var/lib/kdumpkit/boot-files/N, one directory per change.
#pragma once

#include <string>
#include <vector>

#include "core/base/file.h"
#include "loader/reserve/boot_files.h"

namespace kdk {

inline constexpr std::string_view boot_backup_path = "/var/lib/kdumpkit/boot-files";

// Keeps the old contents, then writes each file atomically with the owner, mode and extended attributes it
// had. When one cannot be written, those before it are put back. Throws Error{io,denied}, and Error{format}
// when a file is not as in `before` any more.
void write_boot_files(const SysRoot& root, const std::vector<FileEdit>& edits);

// What taking back the last change would do (files that were removed since are left out, with a warning):
// `before` is what the file holds now, an absent `after` removes it. Throws Error{missing} when no change is
// kept, Error{unsupported} naming a file that was changed since and where its old content is.
struct FileRestore {
  std::string path;
  std::string before;
  std::optional<std::string> after;
};
std::vector<FileRestore> read_last_change(const SysRoot& root);
// Does it, and forgets that change; the one before it is the last one then.
void undo_last_change(const SysRoot& root, const std::vector<FileRestore>& restores);

}  // namespace kdk
