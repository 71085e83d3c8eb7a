// Where the memory is that makes a dump useful at all: the log, the CPUs, the tasks, the modules.
#pragma once

#include <vector>

#include "core/base/types.h"
#include "core/kernel/kernel.h"

namespace kdk {

// Page frames, in no order, with repetitions; what cannot be found is absent. None of them throws.

// The printk buffers. Source: kernel/printk/printk_ringbuffer.h, kernel/printk/printk.c.
std::vector<PfnRange> log_pages(Kernel& kernel);
// Variables of the kernel that say which CPUs and tasks there are.
std::vector<PfnRange> variable_pages(Kernel& kernel);
// Of every task its task_struct, what holds its threads together, and its stack.
std::vector<PfnRange> task_pages(Kernel& kernel);
// What loaded modules are made of, and their struct module.
std::vector<PfnRange> module_pages(Kernel& kernel);

}  // namespace kdk
