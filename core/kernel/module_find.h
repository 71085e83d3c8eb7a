// The module list of a kernel whose symbol `modules` is not known. Private to core/kernel.
#pragma once

#include <optional>

#include "core/kernel/kernel.h"

namespace kdk {

// Searches the kernel's data for the head of the module list: a list_head whose next node points back to it
// and lies in a struct module, which is known by its pointer to itself. Needs the symbol _einittext and
// struct module's layout. nullopt when there is none, which is also so when no module is loaded.
std::optional<VirtAddr> search_module_list(Kernel& kernel);

}  // namespace kdk
