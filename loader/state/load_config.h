// The section [load] of /etc/kdumpkit.toml: what is to be loaded where nobody says it on the command line.
// etc/kdumpkit.toml is the commented example.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "core/config/config_file.h"
#include "loader/plan/plan.h"

namespace kdk {

struct LoadConfig {
  std::string kernel, initrd;  // absolute
  std::optional<std::string> command_line;
  std::string append;
  std::optional<LoadCall> call;  // absent: the best one for the machine
  DigestMode digest = DigestMode::automatic;
};

// Where nothing is said: the kernel of `release` in /boot, and the initramfs that kdumpkit-mkinitramfs makes
// for it. What is in the sections of the other programs is not looked at. Throws Error{format} "FILE:LINE:
// what" for anything that is not right.
LoadConfig read_load_config(const ConfigFile& file, std::string_view release);

// The files that it names are there: else Error{format} "FILE:LINE: what".
void check_named_files(const ConfigFile& file);

}  // namespace kdk
