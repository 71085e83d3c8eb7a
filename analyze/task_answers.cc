#include "analyze/task_answers.h"

#include <algorithm>

#include "analyze/ask.h"
#include "analyze/object_answers.h"
#include "analyze/triage/triage.h"
#include "analyze/unwind/annotate.h"
#include "analyze/unwind/vmlinux_aids.h"
#include "analyze/variable_source.h"
#include "core/base/log.h"

namespace kdk {
namespace {

// Locks that no symbol names get the slab cache they lie in, or whose stack.
void name_locks(Session& session, LockTable& table) {
  for (Lock& lock : table.locks) {
    if (lock.name.empty()) lock.name = session.owners().annotate(lock.address);
  }
}

void note_lock_limits(const LockTable& table, std::vector<Limit>& limits) {
  if (!table.why_not.empty())
    limits.push_back({"/locks", "type_absent", escape_untrusted(table.why_not), ""});
  for (const std::string& problem : table.problems)
    limits.push_back({"/locks", "locks_incomplete", escape_untrusted(problem), ""});
}

// Of who spins where nothing can be told: that is no damage, a CPU may have been about to get its lock.
void add_spinlocks(Session& session, const Crash& crash, LockListing& locks, std::vector<Limit>& limits) {
  locks.spinning = read_spinlocks(*session.kernel(), crash, session.owners());
  for (const std::string& problem : locks.spinning.problems)
    limits.push_back({"/locks/spinning", "locks_incomplete", problem, ""});
}

}  // namespace

Answer<ProcessListing> make_processes(Session& session, const TaskFilter& filter, TaskOrder order,
                                      bool tree) {
  ProcessListing facts;
  std::vector<Limit> limits;
  facts.tree = tree;
  if (Kernel* kernel = kernel_with_variables(session)) {
    TaskList list = examine_tasks(*kernel, limits);
    facts.table = complete_processes(*kernel, std::move(list), session.log());
    facts.rows = tree ? task_tree(facts.table, filter) : select_tasks(facts.table, filter, order);
    for (const std::string& missing : facts.table.missing)
      limits.push_back({"/items", "type_absent", missing, ""});
  } else {
    facts.table.list.why_not = session.kernel_error();
  }
  return answer_of(session, std::move(facts), std::move(limits));
}

Answer<ModuleListing> make_modules(Session& session, const std::vector<std::string>& names) {
  ModuleListing facts;
  std::vector<Limit> limits;
  facts.named = !names.empty();
  Kernel* kernel = kernel_with_variables(session);
  if (kernel == nullptr) {
    facts.why_not = session.kernel_error();
    return answer_of(session, std::move(facts));
  }
  ModuleList list = list_modules(*kernel);
  facts.why_not = escape_untrusted(list.why_not);
  if (!list.why_not.empty())
    limits.push_back(
        {"/items", "modules_absent", facts.why_not, "the vmlinux of this build (--vmlinux FILE)"});
  for (const std::string& problem : list.problems)
    limits.push_back({"/items", "modules_incomplete", escape_untrusted(problem), ""});
  for (const Module& module : list.modules) {
    const bool asked = names.empty() || std::find(names.begin(), names.end(), module.name) != names.end();
    if (!asked) continue;
    facts.modules.push_back({module, read_module_details(*kernel, module)});
    for (const std::string& problem : facts.modules.back().details.problems)
      limits.push_back({"/items", "modules_incomplete", module.name + ": " + problem, ""});
  }
  for (const std::string& name : names) {
    const bool found =
        std::any_of(facts.modules.begin(), facts.modules.end(),
                    [&](const ModuleListing::Entry& entry) { return entry.module.name == name; });
    if (!found) facts.not_found.push_back(escape_untrusted(name));
  }
  return answer_of(session, std::move(facts), std::move(limits));
}

Answer<TaskStacks> make_task_stacks(Session& session, const StackQuery& query) {
  std::vector<Limit> limits;
  Kernel* kernel = session.kernel();
  if (kernel == nullptr) return answer_of(session, TaskStacks{});
  const SourceLookup sources = session.sources();
  const VmlinuxAids aids(sources.vmlinux, sources.modules);
  const ProcessTable table = complete_processes(*kernel, examine_tasks(*kernel, limits), session.log());
  std::vector<std::string> not_found;
  std::vector<TaskRow> rows = query.words.empty() ? select_tasks(table, {}, TaskOrder::list)
                                                  : find_tasks(table, query.words, not_found);
  std::erase_if(rows,
                [&](const TaskRow& row) { return !matches(table.list.tasks[row.index], query.filter); });
  std::optional<Crash> crash;
  if (any_on_cpu(table, rows)) crash = examine_crash(*kernel, session.log(), sources, limits);
  TaskStacks facts = walk_tasks(*kernel, table, rows, crash ? &*crash : nullptr, aids.aids(), query.grouped);
  facts.not_found = std::move(not_found);
  Annotator annotator(sources);
  std::optional<VariableSource> variables;
  if (query.variables) variables.emplace(session);
  for (TaskStack& stack : facts.stacks) {
    annotator.annotate(stack.trace);
    if (variables) stack.variables = variables->read(stack.trace, stack.start);
  }
  return answer_of(session, std::move(facts), std::move(limits));
}

Answer<LockListing> make_locks(Session& session) {
  LockListing facts;
  std::vector<Limit> limits;
  Kernel* kernel = kernel_with_variables(session);
  if (kernel == nullptr) {
    facts.table.why_not = session.kernel_error();
    return answer_of(session, std::move(facts));
  }
  const SourceLookup sources = session.sources();
  const VmlinuxAids aids(sources.vmlinux, sources.modules);
  facts.processes = complete_processes(*kernel, examine_tasks(*kernel, limits), session.log());
  facts.table = read_locks(*kernel, facts.processes, aids.aids());
  name_locks(session, facts.table);
  note_lock_limits(facts.table, limits);
  add_spinlocks(session, examine_crash(*kernel, session.log(), sources, limits), facts, limits);
  return answer_of(session, std::move(facts), std::move(limits));
}

void examine_waits(Session& session, Report& report) {
  Kernel& kernel = require_kernel(session);
  const SourceLookup sources = session.sources();
  const VmlinuxAids vmlinux(sources.vmlinux, sources.modules);
  const UnwindAids aids = vmlinux.aids();
  LockListing locks;
  locks.processes = complete_processes(kernel, *report.tasks, session.log());
  const std::vector<TaskRow> rows = select_tasks(locks.processes, {.states = "D"}, TaskOrder::last_run);
  report.blocked =
      walk_tasks(kernel, locks.processes, rows, report.crash ? &*report.crash : nullptr, aids, true);
  Annotator annotator(sources);
  for (TaskStack& stack : report.blocked->stacks) annotator.annotate(stack.trace);
  locks.table = read_locks(kernel, locks.processes, aids);
  name_locks(session, locks.table);
  note_lock_limits(locks.table, report.limits);
  if (report.crash) add_spinlocks(session, *report.crash, locks, report.limits);
  report.locks = std::move(locks);
}

}  // namespace kdk
