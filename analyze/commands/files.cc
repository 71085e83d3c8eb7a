// `kdump-analyze files`, `mount`.
#include "analyze/render/files.h"

#include "analyze/ask.h"
#include "analyze/commands/command.h"
#include "analyze/commands/commands.h"
#include "analyze/commands/redaction_option.h"
#include "analyze/object_answers.h"
#include "analyze/triage/redact_objects.h"
#include "analyze/triage/triage.h"

namespace kdk {
namespace {

// The tasks that words name.
std::vector<StackOwner> tasks_of(Session& session, Kernel& kernel, const std::vector<std::string>& words,
                                 std::vector<std::string>& not_found, std::vector<Limit>& limits) {
  const ProcessTable table = complete_processes(kernel, examine_tasks(kernel, limits), session.log());
  if (!table.list.why_not.empty()) throw Error(Errc::missing, table.list.why_not);
  std::vector<StackOwner> out;
  for (const TaskRow& row : find_tasks(table, words, not_found))
    out.push_back({table.list.tasks[row.index], table.facts[row.index].since_run_ns});
  return out;
}

}  // namespace

void add_files(Program& program) {
  auto words = std::make_shared<std::vector<std::string>>();
  Command command(program, "files",
                  "Files that a task has open, sockets and pipes among them; its directory and program");
  command.one_dump();
  command.app().add_option("TASK", *words, "A pid, a name, or the 0x-address of a task_struct")->required();
  command.debug_info();
  command.output();
  const RedactionOption redaction(command);
  command.run([words, redaction](const Options& options) -> int {
    const OpenSession opened(options);
    Session& session = *opened;
    Kernel& kernel = require_variables(session);
    FileAnswer facts;
    std::vector<Limit> limits;
    for (StackOwner& task : tasks_of(session, kernel, *words, facts.facts.not_found, limits)) {
      ProcessFiles files = read_open_files(session.types(), {task.task.address}, facts.facts.problems);
      files.task = std::move(task);
      facts.facts.processes.push_back(std::move(files));
    }
    for (Limit& limit : limits_of("/processes", facts.facts.problems)) limits.push_back(std::move(limit));
    const bool nothing = facts.facts.processes.empty(), missed = !facts.facts.not_found.empty();
    auto answer = answer_of(session, std::move(facts), std::move(limits));
    redact_answer(answer, redaction.level(options), redaction.redactor(session));
    const int code = finish(options, answer);
    return nothing ? exit_failed : missed ? exit_partial : code;
  });
}

void add_mount(Program& program) {
  auto task = std::make_shared<std::string>();
  Command command(program, "mount", "What is mounted where, from what and how");
  command.dump();
  command.app()
      .add_option("--task", *task, "In the namespace of this task: a pid, a name, or an 0x-address")
      ->type_name("TASK");
  command.debug_info();
  command.output();
  const RedactionOption redaction(command);
  command.run([task, redaction](const Options& options) -> int {
    const OpenSession opened(options);
    Session& session = *opened;
    Kernel& kernel = require_variables(session);
    std::vector<Limit> limits;
    std::optional<StackOwner> owner;
    VirtAddr at;
    if (task->empty()) {
      const auto first = kernel.symbol("init_task");
      if (!first) throw Error(Errc::missing, "the symbol init_task is not known");
      at = *first;
    } else {
      std::vector<std::string> not_found;
      const std::vector<StackOwner> found = tasks_of(session, kernel, {*task}, not_found, limits);
      if (found.empty()) throw Error(Errc::missing, fmt::format("{}: no such task", escape_untrusted(*task)));
      owner = found.front();
      at = {owner->task.address};
    }
    MountAnswer facts{read_mounts(session.types(), at), {}};
    facts.facts.task = owner;
    for (Limit& limit : limits_of("/mounts", facts.facts.problems)) limits.push_back(std::move(limit));
    auto answer = answer_of(session, std::move(facts), std::move(limits));
    redact_answer(answer, redaction.level(options), redaction.redactor(session));
    return finish(options, answer);
  });
}

}  // namespace kdk
