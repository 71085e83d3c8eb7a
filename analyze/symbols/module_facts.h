// What was found of the debug information of modules, as answers tell it.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace kdk {

// What was found for a module that was asked about.
struct ModuleDebugFacts {
  std::string module, build_id;      // build_id of the loaded module; empty when unknown
  std::string path;                  // of the file in use; empty: none
  std::string match;                 // as ModuleFile::match()
  size_t places = 0;                 // looked at
  std::vector<std::string> refused;  // files that were there but are not used, and why
};

}  // namespace kdk
