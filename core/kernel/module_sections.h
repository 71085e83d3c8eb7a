// Where the sections of a loaded module are, as /sys/module/NAME/sections shows it. The kernel places each
// section of a module by itself: nothing in the module's file says where it went.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/kernel/modules.h"

namespace kdk {

struct ModuleSection {
  std::string name;      // as it stands in the dump
  uint64_t address = 0;  // of discarded ones (.init.*) the address is still told
};

// Empty when the kernel does not keep them (it does with CONFIG_KALLSYMS) or they cannot be read. Per-CPU
// sections are told with an address that nothing is at. Never throws.
std::vector<ModuleSection> read_module_sections(Kernel& kernel, const Module& module);

}  // namespace kdk
