// `kdump-analyze ps`, `mod`.
#include "analyze/commands/command.h"
#include "analyze/commands/commands.h"
#include "analyze/commands/task_options.h"
#include "analyze/render/task_answers.h"
#include "analyze/task_answers.h"

namespace kdk {

void add_task_filter(CLI::App& app, TaskFilter& filter) {
  app.add_option("--state", filter.states, "Only in these states, as the letters of ps: D, or RD")
      ->type_name("LETTERS");
  app.add_option("--pid", filter.pids, "Only this process or thread (may be repeated)")
      ->type_name("PID")
      ->allow_extra_args(false);
  app.add_option("--name", filter.names, "Only tasks with this in their name (may be repeated)")
      ->type_name("TEXT")
      ->allow_extra_args(false);
  app.add_flag("--leaders", filter.leaders, "One row for each process");
  CLI::Option* user = app.add_flag("--user", filter.user, "Only user tasks");
  app.add_flag("--kernel", filter.kernel, "Only kernel threads")->excludes(user);
}

void add_ps(Program& program) {
  struct Words {
    TaskFilter filter;
    std::string sort = "list";
    bool tree = false;
  };
  auto words = std::make_shared<Words>();
  Command command(program, "ps", "Processes and threads: state, memory, when each ran last");
  command.dump();
  CLI::App& app = command.app();
  app.add_flag("--tree", words->tree, "Parents before their children");
  add_task_filter(app, words->filter);
  app.add_option("--sort", words->sort, "list, pid, rss, vsz, last, runtime, cpu or name; the largest first")
      ->check(CLI::IsMember({"list", "pid", "rss", "vsz", "last", "runtime", "cpu", "name"}))
      ->excludes("--tree");
  command.debug_info();
  command.output();
  command.run([words](const Options& options) {
    const OpenSession opened(options);
    Session& session = *opened;
    auto answer = make_processes(session, words->filter, task_order(words->sort).value_or(TaskOrder::list),
                                 words->tree);
    int code = finish(options, answer);
    const TaskList& list = answer.facts.table.list;
    if (list.why_not.empty() && !answer.facts.rows.empty()) return code;
    log_error("{}", list.why_not.empty() ? std::string("no such task") : list.why_not);
    return int{exit_failed};
  });
}

void add_modules(Program& program) {
  auto names = std::make_shared<std::vector<std::string>>();
  Command command(program, "mod", "Modules: size, state, taint, who uses them; with a name, one in full");
  command.one_dump();
  command.app().add_option("NAME", *names, "These in full: sections, memory, symbols");
  command.debug_info();
  command.output();
  command.run([names](const Options& options) {
    const OpenSession opened(options);
    Session& session = *opened;
    auto answer = make_modules(session, *names);
    int code = finish(options, answer);
    if (!answer.facts.why_not.empty()) {
      log_error("{}", answer.facts.why_not);
      return int{exit_failed};
    }
    if (!answer.facts.named || answer.facts.not_found.empty()) return code;
    return answer.facts.modules.empty() ? int{exit_failed} : int{exit_partial};
  });
}

}  // namespace kdk
