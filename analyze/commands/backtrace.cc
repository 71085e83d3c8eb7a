// `kdump-analyze bt`: of CPUs, and of tasks.
#include <filesystem>

#include "analyze/answers.h"
#include "analyze/commands/command.h"
#include "analyze/commands/commands.h"
#include "analyze/commands/task_options.h"
#include "analyze/render/task_answers.h"
#include "analyze/task_answers.h"

namespace kdk {
namespace {

struct Words {
  bool all_cpus = false, all_tasks = false;
  StackQuery query;
};

int of_cpus(const Options& options, bool all, bool variables) {
  const OpenSession opened(options);
  Session& session = *opened;
  BacktraceReport answer = make_backtrace(session, all, variables);
  int code = finish(options, answer);
  if (answer.crash && !answer.crash->cpus.empty()) return code;
  log_error("no CPU's registers are in the dump");
  return exit_failed;
}

int of_tasks(const Options& options, const StackQuery& query) {
  const OpenSession opened(options);
  Session& session = *opened;
  auto answer = make_task_stacks(session, query);
  int code = finish(options, answer);
  if (answer.facts.stacks.empty()) {
    log_error("{}", session.kernel() == nullptr ? session.kernel_error() : "no such task");
    return exit_failed;
  }
  return answer.facts.not_found.empty() ? code : int{exit_partial};
}

// The first word is the dump; of the others, files are further parts of a split set (a shell has opened them)
// and the rest name tasks.
std::vector<std::string> take_tasks(SessionOptions& session, bool in_shell) {
  std::vector<std::string> tasks;
  for (size_t i = 1; i < session.dump.size();) {
    std::error_code ignored;
    if (!in_shell && std::filesystem::exists(session.dump[i], ignored)) {
      ++i;
      continue;
    }
    tasks.push_back(session.dump[i].string());
    session.dump.erase(session.dump.begin() + static_cast<std::ptrdiff_t>(i));
  }
  return tasks;
}

}  // namespace

void add_backtrace(Program& program) {
  Command command(program, "bt", "Backtrace of the CPU that crashed, or of tasks");
  auto words = std::make_shared<Words>();
  CLI::App& app = command.app();
  command.dump();
  app.get_option("DUMP")->description(
      "The dump; further words are parts of a split set where they name files, else tasks: a pid, the "
      "0x-address "
      "of a task_struct, or a name");
  CLI::Option* all = app.add_flag("-a,--all", words->all_cpus, "Every CPU");
  app.add_flag("--all-tasks", words->all_tasks, "Every task; the options below choose among them")
      ->excludes(all);
  add_task_filter(app, words->query.filter);
  app.add_flag("--group", words->query.grouped, "Tasks with the same stack share one; most tasks first")
      ->excludes(all);
  app.add_flag("-v,--variables", words->query.variables,
               "Arguments and local variables of each function, as far as debug information tells")
      ->excludes("--group");
  command.debug_info();
  command.output();
  command.run([words](const Options& given) {
    Options options = given;
    words->query.words = take_tasks(options.session, options.opened != nullptr);
    const TaskFilter& filter = words->query.filter;
    const bool filtered = !filter.states.empty() || !filter.pids.empty() || !filter.names.empty() ||
                          filter.leaders || filter.user || filter.kernel;
    const bool tasks = words->all_tasks || filtered || words->query.grouped || !words->query.words.empty();
    return tasks ? of_tasks(options, words->query)
                 : of_cpus(options, words->all_cpus, words->query.variables);
  });
}

}  // namespace kdk
