// `kdump-analyze report` and `info`.
#include "analyze/answers.h"
#include "analyze/commands/command.h"
#include "analyze/commands/commands.h"
#include "analyze/triage/redact.h"

namespace kdk {

void add_report(Program& program) {
  Command command(program, "report", "The whole answer: crash, traces, log, tasks, modules, memory");
  auto level = std::make_shared<std::string>();
  command.dump();
  command.debug_info();
  command.output_with_html();
  command.app()
      .add_option(
          "--redact", *level,
          "Take out what identifies people and machines: none (default for text), default (default for JSON "
          "and "
          "HTML), strict (also names of user tasks, values of the command line, messages of programs)")
      ->check(CLI::IsMember({"none", "default", "strict"}));
  command.run([level](const Options& options) -> int {
    const OpenSession opened(options);
    Session& session = *opened;
    Report answer = make_report(session);
    const RedactionLevel by_format =
        options.json || options.html ? RedactionLevel::normal : RedactionLevel::none;
    redact(answer, redaction_level(*level).value_or(by_format));
    if (!options.html) return finish(options, answer, true);
    emit(options, to_html(answer));
    return partial(answer.limits) ? exit_partial : exit_done;
  });
}

void add_info(Program& program) {
  Command command(program, "info", "What the dump is: format, architecture, page size, completeness");
  command.dump();
  command.output();
  command.run([](const Options& options) -> int {
    const OpenSession opened(options);
    Session& session = *opened;
    return finish(options, make_info(session), true);
  });
}

}  // namespace kdk
