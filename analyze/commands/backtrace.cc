// `kdump-analyze bt`.
#include "analyze/answers.h"
#include "analyze/commands/command.h"
#include "analyze/commands/commands.h"

namespace kdk {

void add_backtrace(CLI::App& program, std::function<int()>& chosen) {
  Command command(program, chosen, "bt", "Backtrace of the CPU that crashed");
  auto all_cpus = std::make_shared<bool>(false);
  command.dump();
  command.app().add_flag("-a,--all", *all_cpus, "Every CPU");
  command.debug_info();
  command.output();
  command.run([all_cpus](const Options& options) -> int {
    Session session(options.session);
    BacktraceReport answer = make_backtrace(session, *all_cpus);
    int code = finish(options, answer);
    if (answer.crash && !answer.crash->cpus.empty()) return code;
    log_error("no CPU's registers are in the dump");
    return exit_failed;
  });
}

}  // namespace kdk
