// The symbol table that a loaded module carries. Private to core/kernel.
#pragma once

#include <string>

#include "core/kernel/modules.h"

namespace kdk {

// Where struct module and struct mod_kallsyms have what is needed; read once for all modules.
struct ModuleSymbolLayout {
  uint64_t kallsyms = 0;                            // struct module: pointer to the table in use
  std::optional<uint64_t> core_kallsyms;            // struct module: the table that stays after init
  uint64_t symtab = 0, num_symtab = 0, strtab = 0;  // struct mod_kallsyms
  std::optional<uint64_t> typetab;
  static std::optional<ModuleSymbolLayout> find(Layout& layout);
};

// Adds the symbols of `module` that lie in its ranges to kernel.symbols(). Returns a sentence when they
// cannot be read, else "".
std::string add_module_symbols(Kernel& kernel, const ModuleSymbolLayout& layout, const Module& module);

}  // namespace kdk
