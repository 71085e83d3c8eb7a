// One loaded module in full: who uses it, its sections, its symbols, beyond what the list of modules tells.
// Source: include/linux/module.h, kernel/module/main.c, kernel/module/sysfs.c.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/kernel/kernel.h"
#include "core/kernel/modules.h"

namespace kdk {

struct ModuleSection {
  std::string name;  // escaped
  uint64_t address = 0;
  bool gone = false;  // of the init part, which was given back: another's memory may be there now
};

struct ModuleDetails {
  // nullopt: not known on this kernel (CONFIG_MODULE_UNLOAD=n, CONFIG_KALLSYMS=n), or not readable.
  std::optional<int64_t> references;              // as lsmod shows them
  std::optional<std::vector<std::string>> users;  // modules that depend on it; escaped
  std::optional<std::vector<std::string>> needs;  // modules that it depends on; escaped
  std::optional<std::vector<ModuleSection>> sections;
  std::optional<uint64_t> symbols;  // entries of its symbol table
  std::string arguments;            // module parameters it was loaded with; escaped
  std::optional<uint64_t> init_function, exit_function;
  std::vector<std::string> problems;  // sentences: what could not be read
};

// Never throws. `module` as read_modules() or list_modules() gave it.
ModuleDetails read_module_details(Kernel& kernel, const Module& module);

// The answer of `mod`: a list, or (`named`) the modules of these names in full.
struct ModuleListing {
  struct Entry {
    Module module;
    ModuleDetails details;
  };
  std::vector<Entry> modules;
  bool named = false;
  std::vector<std::string> not_found;  // names asked for; escaped
  std::string why_not;                 // set when the list cannot be walked
};

}  // namespace kdk
