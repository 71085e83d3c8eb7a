#include "analyze/symbols/module_places.h"

#include <algorithm>
#include <array>

namespace kdk {
namespace {

// A distribution's kernel has some 5,000 modules.
constexpr size_t max_entries = 200'000;
constexpr int max_depth = 16;

}  // namespace

std::optional<std::string> module_of_file_name(std::string_view file_name) {
  const size_t dot = file_name.find(".ko");
  if (dot == std::string_view::npos || dot == 0) return std::nullopt;
  // Fedora and SUSE append .debug; either may be packed.
  constexpr std::array<std::string_view, 8> endings = {"",    ".debug",    ".xz",        ".zst",
                                                       ".gz", ".debug.xz", ".debug.zst", ".debug.gz"};
  if (std::ranges::find(endings, file_name.substr(dot + 3)) == endings.end()) return std::nullopt;
  // Kbuild turns '-' into '_' in the module's name (scripts/Makefile.lib, name-fix).
  std::string name(file_name.substr(0, dot));
  std::ranges::replace(name, '-', '_');
  return name;
}

ModulePlaces::ModulePlaces(const DebugSearch& search, std::string_view release) {
  const bool named = safe_path_component(release);
  auto add_tree = [&](const std::filesystem::path& directory) { places_.push_back({directory}); };
  by_id_ = build_id_directories(search);
  for (const std::filesystem::path& dir : search.debug_dirs) {
    places_.push_back({.directory = dir, .below = false});
    if (!named) continue;
    for (const char* top : {"", "usr/lib/debug", "usr/lib/debug/usr", "usr"}) {
      add_tree(dir / top / "lib/modules" / release);
    }
    add_tree(dir / "kernel");  // the directory is a lib/modules/RELEASE itself
  }
  const std::filesystem::path debug = search.root / "usr/lib/debug";
  if (!named) return;
  // The vmlinux that was given may lie in an unpacked package: usr/lib/debug/boot/vmlinux-RELEASE.
  if (search.vmlinux && search.vmlinux->parent_path().filename() == "boot") {
    add_tree(search.vmlinux->parent_path().parent_path() / "lib/modules" / release);
  }
  add_tree(debug / "lib/modules" / release);        // Debian, Ubuntu, Fedora, older SUSE
  add_tree(debug / "usr/lib/modules" / release);    // SUSE, and all with a merged /usr
  add_tree(search.root / "lib/modules" / release);  // unstripped: kernels that were built here
}

void ModulePlaces::list(Place& place) const {
  place.files.emplace();
  auto take = [&](const std::filesystem::directory_entry& entry) {
    std::optional<std::string> name = module_of_file_name(entry.path().filename().string());
    if (name) place.files->emplace(std::move(*name), entry.path());
  };
  std::error_code error;  // a directory that is not there, or cannot be read, has no files
  size_t entries = 0;
  const auto options = std::filesystem::directory_options::skip_permission_denied;
  if (!place.below) {
    std::filesystem::directory_iterator at(place.directory, options, error), end;
    for (; !error && at != end && ++entries <= max_entries; at.increment(error)) take(*at);
    return;
  }
  std::filesystem::recursive_directory_iterator at(place.directory, options, error), end;
  for (; !error && at != end && ++entries <= max_entries; at.increment(error)) {
    if (at.depth() >= max_depth) at.disable_recursion_pending();
    take(*at);
  }
}

size_t ModulePlaces::for_each(std::string_view module, const std::string& build_id,
                              const std::function<bool(const std::filesystem::path&)>& visit) {
  size_t count = 0;
  if (const std::optional<std::filesystem::path> by_id = path_of_build_id(build_id)) {
    for (const std::filesystem::path& directory : by_id_) {
      ++count;
      if (!visit(directory / *by_id)) return count;
    }
  }
  for (Place& place : places_) {
    ++count;
    if (!place.files) list(place);
    auto [first, last] = place.files->equal_range(module);
    for (; first != last; ++first) {
      if (!visit(first->second)) return count;
    }
  }
  return count;
}

}  // namespace kdk
