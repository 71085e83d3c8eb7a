// Stacks of tasks: of those that slept, from where the switch away from them saved their registers; of those
// on a CPU, from the CPU's. Tasks with the same stack can share one.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "analyze/inspect/processes.h"
#include "analyze/symbols/variable_facts.h"
#include "core/diagnose/crash.h"
#include "core/diagnose/task_trace.h"
#include "core/kernel/kernel.h"

namespace kdk {

struct StackOwner {
  Task task;
  std::optional<uint64_t> since_run_ns;  // as ProcessFacts
};

struct TaskStack : TaskTrace {
  // One, or all that have it; those that have not run for longest first.
  std::vector<StackOwner> owners = {};
  std::optional<std::vector<FunctionVariables>> variables = {};  // where they were asked for
};

// The answer of `bt` for tasks.
struct TaskStacks {
  std::vector<TaskStack> stacks;
  bool grouped = false;
  bool complete = true;                // the whole task list was walked
  std::vector<std::string> not_found;  // what was asked for and is no task; escaped
  const Arch* arch = nullptr;
};

// Stacks of these rows of the table, in their order; grouped: those with the most owners first. `crash` has
// the stacks of the CPUs; nullptr: tasks on a CPU get none. Never throws for what is in the dump.
TaskStacks walk_tasks(Kernel& kernel, const ProcessTable& table, const std::vector<TaskRow>& rows,
                      const Crash* crash, const UnwindAids& aids, bool grouped);

// Whether any of the rows was on a CPU, so that walk_tasks() needs the crash.
bool any_on_cpu(const ProcessTable& table, const std::vector<TaskRow>& rows);

// Rows of the tasks that words name: a pid, the 0x-address of a task_struct, a whole name (as far as the
// kernel keeps it). Words that name none are added to `not_found`, escaped.
std::vector<TaskRow> find_tasks(const ProcessTable& table, const std::vector<std::string>& words,
                                std::vector<std::string>& not_found);

}  // namespace kdk
