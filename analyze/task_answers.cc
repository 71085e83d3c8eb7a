#include "analyze/task_answers.h"

#include <algorithm>

#include "analyze/triage/triage.h"
#include "core/base/log.h"

namespace kdk {
namespace {

// The kernel with what a walk over its variables needs: a vmlinux is opened only where the dump itself has no
// data symbols (CONFIG_KALLSYMS_ALL=n) or no types.
Kernel* kernel_with_variables(Session& session) {
  Kernel* kernel = session.kernel();
  if (kernel == nullptr) return nullptr;
  const bool enough =
      kernel->symbol("init_task") && kernel->symbol("__per_cpu_offset") && kernel->layout().has_types();
  if (!enough) session.debug_info();
  return kernel;
}

template <typename Facts>
void complete(Session& session, Answer<Facts>& answer) {
  answer.input = session.input();
  answer.evidence = session.evidence();
  std::vector<Limit> limits = session.common_limits();
  limits.insert(limits.end(), answer.limits.begin(), answer.limits.end());
  answer.limits = std::move(limits);
}

}  // namespace

Answer<ProcessListing> make_processes(Session& session, const TaskFilter& filter, TaskOrder order,
                                      bool tree) {
  Answer<ProcessListing> answer;
  ProcessListing& facts = answer.facts;
  facts.tree = tree;
  if (Kernel* kernel = kernel_with_variables(session)) {
    TaskList list = examine_tasks(*kernel, answer.limits);
    facts.table = complete_processes(*kernel, std::move(list), session.log());
    facts.rows = tree ? task_tree(facts.table, filter) : select_tasks(facts.table, filter, order);
    for (const std::string& missing : facts.table.missing)
      answer.limits.push_back({"/items", "type_absent", missing, ""});
  } else {
    facts.table.list.why_not = session.kernel_error();
  }
  complete(session, answer);
  return answer;
}

Answer<ModuleListing> make_modules(Session& session, const std::vector<std::string>& names) {
  Answer<ModuleListing> answer;
  ModuleListing& facts = answer.facts;
  facts.named = !names.empty();
  Kernel* kernel = kernel_with_variables(session);
  if (kernel == nullptr) {
    facts.why_not = session.kernel_error();
    complete(session, answer);
    return answer;
  }
  ModuleList list = list_modules(*kernel);
  facts.why_not = escape_untrusted(list.why_not);
  if (!list.why_not.empty())
    answer.limits.push_back(
        {"/items", "modules_absent", facts.why_not, "the vmlinux of this build (--vmlinux FILE)"});
  for (const std::string& problem : list.problems)
    answer.limits.push_back({"/items", "modules_incomplete", escape_untrusted(problem), ""});
  for (const Module& module : list.modules) {
    const bool asked = names.empty() || std::find(names.begin(), names.end(), module.name) != names.end();
    if (!asked) continue;
    facts.modules.push_back({module, read_module_details(*kernel, module)});
    for (const std::string& problem : facts.modules.back().details.problems)
      answer.limits.push_back({"/items", "modules_incomplete", module.name + ": " + problem, ""});
  }
  for (const std::string& name : names) {
    const bool found =
        std::any_of(facts.modules.begin(), facts.modules.end(),
                    [&](const ModuleListing::Entry& entry) { return entry.module.name == name; });
    if (!found) facts.not_found.push_back(escape_untrusted(name));
  }
  complete(session, answer);
  return answer;
}

}  // namespace kdk
