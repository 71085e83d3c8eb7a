// Tasks that something else leads to: a run queue, a wait queue, a worker. The list of all need not be walked
// for them, and idle tasks are in no list.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "analyze/inspect/task_stacks.h"
#include "core/kernel/printk.h"

namespace kdk {

// read_task() of several, with when each ran last; by address. `log` may be empty.
std::map<uint64_t, StackOwner> read_task_set(Kernel& kernel, const std::vector<uint64_t>& addresses,
                                             const KernelLog& log);

}  // namespace kdk
