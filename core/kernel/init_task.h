// The task that starts the task list, for kernels that do not name it.
#pragma once

#include <optional>

#include "core/kernel/kernel.h"

namespace kdk {

// init_task by content, for kernels whose kallsyms lack data symbols: a struct in the kernel image whose comm
// is "swapper/0" (or "swapper"), whose pid is 0 and whose task list links point back. nullopt when there is
// not exactly one.
std::optional<VirtAddr> find_init_task(Kernel& kernel);

}  // namespace kdk
