// Finds the vmlinux of a dump: the one given, else by build-id and release in the usual places, and last, when
// asked, from debuginfod servers.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "analyze/symbols/debug_info.h"
#include "core/kernel/kernel.h"

namespace kdk {

struct DebugSearch {
  std::optional<std::filesystem::path> vmlinux = {};   // --vmlinux: this one or nothing
  std::vector<std::filesystem::path> debug_dirs = {};  // --debug-dir, searched before the system's places
  bool debuginfod = false;           // --debuginfod: ask servers for what is not found here
  std::filesystem::path root = "/";  // where /usr/lib/debug, /lib/modules and /boot are looked up
};

struct FoundDebugInfo {
  std::unique_ptr<DebugInfo> info;    // matched; nullptr when none was found
  std::string match;                  // "build-id" or "banner"
  std::vector<std::string> tried;     // every path looked at, in order
  std::vector<std::string> problems;  // files that were there but refused, and why
};

// A vmlinux that has no debug information is completed by its separate debug file, by build-id or
// .gnu_debuglink. Symbols and types are not added yet: call info->add_symbols() and add_types(). Throws only
// for an explicit `search.vmlinux` that cannot be opened or is of another build; what is wrong with files
// found by searching goes to `problems`.
FoundDebugInfo find_debug_info(Kernel& kernel, const DebugSearch& search);

// The candidates in search order, for tests and messages. `build_id` lower-case hex, empty when unknown.
std::vector<std::filesystem::path> debug_candidates(const DebugSearch& search, const std::string& build_id,
                                                    const std::string& release);

// The release becomes part of paths: false when it could lead elsewhere.
bool safe_path_component(std::string_view text);
// ".build-id/xx/yyyy.debug", below a directory of debug files; nullopt when `build_id` is none.
std::optional<std::filesystem::path> path_of_build_id(const std::string& build_id);

// Directories that may hold ".build-id".
std::vector<std::filesystem::path> build_id_directories(const DebugSearch& search);

// The GNU build-id among ELF notes, lower-case hex; empty when there is none.
std::string build_id_of_notes(Bytes notes);

// The dump's own build-id (lower-case hex): VMCOREINFO BUILD-ID when it looks like one, else the image's
// .notes; empty when unknown. Some stable releases print garbage there, which is recognised by its form.
std::string dump_build_id(Kernel& kernel);

}  // namespace kdk
