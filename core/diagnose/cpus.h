// Which CPUs there were at the crash, and what each left behind.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/diagnose/crash.h"
#include "core/diagnose/log_trace.h"
#include "core/kernel/kernel.h"

namespace kdk {

// One state per CPU that left registers or was online and left none; sorted by CPU number. Backtraces are not
// walked yet. What is a guess says so in cpu_source and in `problems`.
std::vector<CpuState> collect_cpus(Kernel& kernel, const KernelLog& log,
                                   const std::optional<LogCpuLine>& log_cpu,
                                   std::vector<std::string>& problems);

// Whether these are registers that the crash path took of itself, as after a call to panic().
bool in_crash_path(Kernel& kernel, const Registers& registers);

// task_struct that ran on `cpu`, from its run queue.
std::optional<VirtAddr> current_task(Kernel& kernel, unsigned cpu);

}  // namespace kdk
