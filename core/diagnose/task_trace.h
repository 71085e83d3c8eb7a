// The stack of one task: where it waits, or of the CPU it was on.
#pragma once

#include <optional>
#include <string>

#include "core/diagnose/crash.h"
#include "core/diagnose/unwind.h"
#include "core/kernel/tasks.h"

namespace kdk {

struct TaskTrace {
  Backtrace trace;
  std::string why_not;             // no trace is known, and why; empty: there is one
  std::optional<Registers> start;  // of the trace's first frame
};

// `crash` has the stacks of the CPUs; nullptr: a task on a CPU gets none. Never throws for what is in the
// dump.
TaskTrace trace_task(Kernel& kernel, const Task& task, const Crash* crash, const UnwindAids& aids);

}  // namespace kdk
