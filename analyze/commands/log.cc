// `kdump-analyze log`.
#include "analyze/answers.h"
#include "analyze/commands/command.h"
#include "analyze/commands/commands.h"

namespace kdk {

void add_log(CLI::App& program, std::function<int()>& chosen) {
  Command command(program, chosen, "log", "The kernel log");
  command.dump();
  command.output();
  command.run([](const Options& options) -> int {
    Session session(options.session);
    LogReport answer = make_log(session);
    int code = finish(options, answer);
    if (!answer.log.records.empty()) return code;
    log_error("no log record could be read");
    return exit_failed;
  });
}

}  // namespace kdk
