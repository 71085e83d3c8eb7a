// `kdump-analyze report` and `info`.
#include "analyze/answers.h"
#include "analyze/commands/command.h"
#include "analyze/commands/commands.h"

namespace kdk {

void add_report(CLI::App& program, std::function<int()>& chosen) {
  Command command(program, chosen, "report", "The whole answer: crash, traces, log, tasks, modules, memory");
  command.dump();
  command.debug_info();
  command.output_with_html();
  command.run([](const Options& options) -> int {
    Session session(options.session);
    Report answer = make_report(session);
    if (!options.html) return finish(options, answer, true);
    emit(options, to_html(answer));
    return partial(answer.limits) ? exit_partial : exit_done;
  });
}

void add_info(CLI::App& program, std::function<int()>& chosen) {
  Command command(program, chosen, "info", "What the dump is: format, architecture, page size, completeness");
  command.dump();
  command.output();
  command.run([](const Options& options) -> int {
    Session session(options.session);
    return finish(options, make_info(session), true);
  });
}

}  // namespace kdk
