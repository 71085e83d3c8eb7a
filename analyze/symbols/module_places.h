// Where the debug file of a module may be: by build-id and by name, in the layouts of the distributions and
// under --debug-dir. Directories are listed once, when a module is first looked for in them.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "analyze/symbols/find.h"

namespace kdk {

class ModulePlaces {
 public:
  ModulePlaces(const DebugSearch& search, std::string_view release);

  // Calls `visit` with each path that may be the module's, in search order, until it returns false. Paths by
  // build-id need not exist; those by name do. Returns the number of places looked at.
  size_t for_each(std::string_view module, const std::string& build_id,
                  const std::function<bool(const std::filesystem::path&)>& visit);

 private:
  // One directory, with what is below it or without.
  struct Place {
    std::filesystem::path directory;
    bool below = true;
    std::optional<std::multimap<std::string, std::filesystem::path, std::less<>>> files =
        {};  // by module name
  };
  void list(Place& place) const;

  std::vector<std::filesystem::path> by_id_;  // directories that hold .build-id
  std::vector<Place> places_;
};

// The module's name that a file name stands for: without .ko and what follows it, '-' as '_'. nullopt when it
// is no module's file.
std::optional<std::string> module_of_file_name(std::string_view file_name);

}  // namespace kdk
