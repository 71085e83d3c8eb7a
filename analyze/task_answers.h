// What kdump-analyze can be asked about tasks and modules. As answers.h.
#pragma once

#include <string>
#include <vector>

#include "analyze/inspect/locks.h"
#include "analyze/inspect/module_details.h"
#include "analyze/inspect/processes.h"
#include "analyze/inspect/task_stacks.h"
#include "analyze/session.h"
#include "analyze/triage/answer.h"
#include "analyze/triage/report.h"

namespace kdk {

Answer<ProcessListing> make_processes(Session& session, const TaskFilter& filter, TaskOrder order, bool tree);
// Every module, or in full those of these names.
Answer<ModuleListing> make_modules(Session& session, const std::vector<std::string>& names);

// Which tasks' stacks are asked for: those that `words` name (find_tasks()) and the filter lets through.
struct StackQuery {
  std::vector<std::string> words;  // empty: every task
  TaskFilter filter;
  bool grouped = false;
  bool variables = false;  // with the arguments and local variables of their frames
};
// With inlined functions and lines where a vmlinux is found.
Answer<TaskStacks> make_task_stacks(Session& session, const StackQuery& query);

Answer<LockListing> make_locks(Session& session);
// Fills the report's blocked and locks from its tasks and crash.
void examine_waits(Session& session, Report& report);

}  // namespace kdk
