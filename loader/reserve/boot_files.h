// Which files decide about the kernel's command line at the next boot, and how they look with another
// crashkernel=. Reads only; boot_change.h writes.
//
// Known: GRUB's /etc/default/grub (a drop-in where the distribution reads those), Boot Loader Specification
// entries (systemd-boot, GRUB of Fedora and its family) with /etc/kernel/cmdline for kernels installed later,
// extlinux.conf of U-Boot and syslinux with /etc/default/u-boot, which generates it on Debian.
// Sources: Boot Loader Specification (uapi-group.org); kernel-install(8); u-boot-menu's u-boot-update;
// GRUB manual, "Simple configuration handling".
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/base/file.h"

namespace kdk {

struct FileEdit {
  std::string path;                   // absolute, below the root
  std::optional<std::string> before;  // absent: the file is new
  std::string after;
};

struct BootFiles {
  std::vector<FileEdit> edits;     // only files that change
  std::vector<std::string> found;  // the boot loaders' names, for people
  std::vector<std::string> notes;  // what else has to be known or done
};

// `options`: "crashkernel=512M,high crashkernel=64M,low". All other crashkernel= of these files are removed.
// Throws Error{missing} when no known boot loader's files are there, Error{unsupported} where the system
// image is not edited by files (ostree), each with a hint.
BootFiles edit_boot_files(const SysRoot& root, const std::string& options);

// What has to run after such files were changed. Empty: nothing.
std::vector<std::string> boot_commands(const SysRoot& root);

// `line` without its crashkernel= words, everything else as it is.
std::string without_crashkernel(std::string_view line);

}  // namespace kdk
