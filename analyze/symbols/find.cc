#include "analyze/symbols/find.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "analyze/symbols/debuginfod.h"
#include "analyze/symbols/vmlinux.h"
#include "core/base/log.h"
#include "core/formats/notes.h"

namespace kdk {
namespace {

constexpr uint64_t max_notes = 64 << 10;
constexpr uint32_t nt_gnu_build_id = 3;

bool is_hex(std::string_view s) {
  return std::all_of(s.begin(), s.end(),
                     [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

// A SHA-1 (or longer) in hexadecimal that is not all the same digit: an id that was not filled in is all
// zeros.
bool plausible_build_id(std::string_view id) {
  if (id.size() < 16 || id.size() > 128 || id.size() % 2 != 0 || !is_hex(id)) return false;
  return id.find_first_not_of(id[0]) != std::string_view::npos;
}

}  // namespace

bool safe_path_component(std::string_view s) {
  return !s.empty() && s != "." && s != ".." && s.find('/') == std::string_view::npos &&
         s.find('\0') == std::string_view::npos;
}

std::optional<std::filesystem::path> path_of_build_id(const std::string& build_id) {
  if (!plausible_build_id(build_id)) return std::nullopt;
  return std::filesystem::path(".build-id") / build_id.substr(0, 2) / (build_id.substr(2) + ".debug");
}

std::string build_id_of_notes(Bytes notes) {
  for (const Note& note : parse_notes(notes)) {
    if (note.name != "GNU" || note.type != nt_gnu_build_id) continue;
    std::string id;
    for (uint8_t b : note.desc) id += fmt::format("{:02x}", b);
    return id;
  }
  return {};
}

std::string dump_build_id(Kernel& kernel) {
  std::optional<std::string_view> told = kernel.vmcoreinfo().value("BUILD-ID");
  if (told && plausible_build_id(*told)) return std::string(*told);
  std::optional<VirtAddr> begin = kernel.symbol("__start_notes"), end = kernel.symbol("__stop_notes");
  if (!begin || !end || *end <= *begin || end->value - begin->value > max_notes) return {};
  std::vector<uint8_t> bytes(end->value - begin->value);
  return kernel.memory().read(*begin, bytes) ? build_id_of_notes(bytes) : std::string();
}

std::vector<std::filesystem::path> build_id_directories(const DebugSearch& search) {
  std::vector<std::filesystem::path> directories;
  for (const std::filesystem::path& dir : search.debug_dirs) {
    directories.push_back(dir);
    directories.push_back(dir / "usr/lib/debug");  // an unpacked package
  }
  directories.push_back(search.root / "usr/lib/debug");
  return directories;
}

std::vector<std::filesystem::path> debug_candidates(const DebugSearch& search, const std::string& build_id,
                                                    const std::string& release) {
  std::vector<std::filesystem::path> paths;
  const std::filesystem::path by_id = path_of_build_id(build_id).value_or(std::filesystem::path());
  bool named = safe_path_component(release);
  for (const std::filesystem::path& dir : search.debug_dirs) {
    if (!by_id.empty()) {
      paths.push_back(dir / by_id);
      paths.push_back(dir / "usr/lib/debug" / by_id);  // an unpacked package
    }
    if (named) {
      paths.push_back(dir / ("vmlinux-" + release));
      paths.push_back(dir / "usr/lib/debug/boot" / ("vmlinux-" + release));
    }
    paths.push_back(dir / "vmlinux");
    paths.push_back(dir / "vmlinux.debug");
  }
  std::filesystem::path debug = search.root / "usr/lib/debug";
  if (!by_id.empty()) paths.push_back(debug / by_id);
  if (named) {
    paths.push_back(debug / "boot" / ("vmlinux-" + release));             // Debian, Ubuntu
    paths.push_back(debug / "lib/modules" / release / "vmlinux");         // Fedora, RHEL, SUSE
    paths.push_back(debug / "usr/lib/modules" / release / "vmlinux");     // the same with a merged /usr
    paths.push_back(debug / "boot" / ("vmlinux-" + release + ".debug"));  // older SUSE
    paths.push_back(search.root / "lib/modules" / release / "build/vmlinux");
    paths.push_back(search.root / "lib/modules" / release / "vmlinux");
    paths.push_back(search.root / "boot" / ("vmlinux-" + release));
  }
  return paths;
}

namespace {

// Where the debug information of a stripped vmlinux may be. Source: GDB manual, "Debugging Information in
// Separate Files".
std::vector<std::filesystem::path> separate_files(const DebugSearch& search, const VmlinuxFile& stripped) {
  std::vector<std::filesystem::path> paths;
  const std::vector<std::filesystem::path> directories = build_id_directories(search);
  if (const auto by_id = path_of_build_id(stripped.build_id())) {
    for (const std::filesystem::path& directory : directories) paths.push_back(directory / *by_id);
  }
  const std::string name = stripped.debug_link();
  if (!safe_path_component(name)) return paths;
  const std::filesystem::path beside = stripped.path().parent_path();
  paths.push_back(beside / name);
  paths.push_back(beside / ".debug" / name);
  std::error_code ignored;
  const std::filesystem::path place = std::filesystem::absolute(beside, ignored).relative_path();
  for (const std::filesystem::path& directory : directories) {
    paths.push_back(directory / place / name);
    paths.push_back(directory / name);
  }
  return paths;
}

// Looks for the debug information that `found.info` lacks.
void complete(FoundDebugInfo& found, const DebugSearch& search) {
  std::set<std::filesystem::path> seen = {std::filesystem::weakly_canonical(found.info->path())};
  for (const std::filesystem::path& path : separate_files(search, found.info->file())) {
    if (found.info->has_dwarf()) return;
    std::error_code error;
    const std::filesystem::path real = std::filesystem::canonical(path, error);
    if (error || !std::filesystem::is_regular_file(real, error) || !seen.insert(real).second) continue;
    found.tried.push_back(path.string());
    try {
      found.info->add_debug_file(path);
    } catch (const Error& e) {  // one candidate of several
      found.problems.push_back(e.message());
    }
  }
}

// The last resort, for what is still missing: a vmlinux, or the debug information of the one that was found.
void ask_servers(FoundDebugInfo& found, Kernel& kernel, const DebugSearch& search) {
  if (!search.debuginfod || (found.info && found.info->has_dwarf())) return;
  const std::string build_id = found.info ? found.info->file().build_id() : dump_build_id(kernel);
  found.tried.push_back("debuginfod: build-id " + (build_id.empty() ? "unknown" : build_id));
  if (build_id.empty()) return;
  try {
    const std::filesystem::path path = fetch_debug_file(build_id);
    if (found.info) {
      found.info->add_debug_file(path);
      return;
    }
    std::unique_ptr<DebugInfo> info = DebugInfo::open(path);
    found.match = info->require_match(kernel);
    info->set_build_id_directories(build_id_directories(search));
    found.info = std::move(info);
  } catch (const Error& e) {  // the answer goes on with what there is
    found.problems.push_back(e.message());
  }
}

}  // namespace

FoundDebugInfo find_debug_info(Kernel& kernel, const DebugSearch& search) {
  FoundDebugInfo found;
  if (search.vmlinux) {
    found.tried.push_back(search.vmlinux->string());
    found.info = DebugInfo::open(*search.vmlinux);
    found.match = found.info->require_match(kernel);
    found.info->set_build_id_directories(build_id_directories(search));
    complete(found, search);
    ask_servers(found, kernel, search);
    return found;
  }
  std::string release(kernel.vmcoreinfo().value("OSRELEASE").value_or(""));
  std::set<std::filesystem::path> seen;  // two names of one file are one refusal
  for (const std::filesystem::path& path : debug_candidates(search, dump_build_id(kernel), release)) {
    found.tried.push_back(path.string());
    std::error_code error;
    std::filesystem::path real = std::filesystem::canonical(path, error);
    if (error || !std::filesystem::is_regular_file(real, error) || !seen.insert(real).second) continue;
    try {
      FoundDebugInfo one;
      one.info = DebugInfo::open(path);
      one.match = one.info->require_match(kernel);
      one.info->set_build_id_directories(build_id_directories(search));
      complete(one, search);
      found.tried.insert(found.tried.end(), one.tried.begin(), one.tried.end());
      found.problems.insert(found.problems.end(), one.problems.begin(), one.problems.end());
      // A stripped file would end the search where one with DWARF may follow.
      const bool has_dwarf = one.info->has_dwarf();
      if (!has_dwarf) found.problems.push_back(path.string() + ": has no debug information (DWARF)");
      if (has_dwarf || !found.info) {
        found.info = std::move(one.info);
        found.match = one.match;
      }
      if (has_dwarf) return found;
    } catch (const Error& e) {  // one candidate of several
      found.problems.push_back(e.message());
    }
  }
  ask_servers(found, kernel, search);
  return found;
}

}  // namespace kdk
