// Makes an /etc/kdumpkit.toml of what another kdump was configured with: /etc/kdump.conf (Fedora, RHEL),
// /etc/sysconfig/kdump (RHEL; SUSE, where it holds everything) and /etc/default/kdump-tools (Debian). What
// has no counterpart here is not dropped in silence: it becomes a comment with file and line.
//
// Sources: kdump.conf(5), kdump(5) of SUSE, the comments in kdump-tools' own file.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace kdk {

struct ForeignFile {
  std::string name;  // for the comments; which format it is is told by the content
  std::string text;
};

struct ImportedConfig {
  std::string toml;                // read_run_config() takes it
  std::vector<std::string> notes;  // "FILE:LINE: what to do by hand", also in the text
};

// Throws Error{format} naming file and line for what cannot be right (a dump level of 40).
ImportedConfig import_config(const std::vector<ForeignFile>& files);

}  // namespace kdk
