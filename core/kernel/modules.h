// Loaded modules: the list and their symbols, out of the dump.
// Source: kernel/module/main.c (struct module), kernel/module/kallsyms.c.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/kernel/kernel.h"

namespace kdk {

struct Module {
  std::string name;      // escaped
  uint64_t address = 0;  // struct module
  struct Range {
    uint64_t base = 0;
    uint64_t size = 0;
    std::string kind;  // "text", "data", "rodata", "ro_after_init", "init_text", ...
  };
  std::vector<Range> ranges;
  uint64_t size_bytes = 0;    // what /proc/modules prints: core memory
  std::string state;          // "live", "coming", "going", "unformed"
  uint64_t taints = 0;        // bit mask
  std::string taint_letters;  // "OE"
  std::string build_id;       // hex, empty when unknown
  std::string srcversion, version;
};

struct ModuleList {
  std::vector<Module> modules;        // in list order (newest first, as /proc/modules)
  std::string why_not;                // set when the list cannot be walked
  std::vector<std::string> problems;  // per-module sentences
};

// Walks the module list and adds every module's symbols and ranges to kernel.symbols() (and finishes the
// table). Needs the symbol `modules` and layouts. Never throws.
ModuleList read_modules(Kernel& kernel);
// The list alone, for who needs the modules' memory and not their names: a fraction of the work.
ModuleList list_modules(Kernel& kernel);

}  // namespace kdk
