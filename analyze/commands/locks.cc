// `kdump-analyze locks`.
#include "analyze/commands/command.h"
#include "analyze/commands/commands.h"
#include "analyze/render/waits.h"
#include "analyze/task_answers.h"

namespace kdk {

void add_locks(Program& program) {
  Command command(program, "locks", "Locks that tasks wait for: who has them, who waits, who waits for whom");
  command.dump();
  command.debug_info();
  command.output();
  command.run([](const Options& options) {
    const OpenSession opened(options);
    Session& session = *opened;
    auto answer = make_locks(session);
    int code = finish(options, answer);
    if (answer.facts.table.why_not.empty()) return code;
    log_error("{}", answer.facts.table.why_not);
    return int{exit_failed};
  });
}

}  // namespace kdk
