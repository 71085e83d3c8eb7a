// `kdump-analyze runq`.
#include "analyze/ask.h"
#include "analyze/commands/command.h"
#include "analyze/commands/commands.h"
#include "analyze/object_answers.h"
#include "analyze/render/run_queues.h"

namespace kdk {

void add_runq(Program& program) {
  Command command(program, "runq", "Run queues: what each CPU ran, what waited for it and how long");
  command.dump();
  command.debug_info();
  command.output();
  command.run([](const Options& options) {
    const OpenSession opened(options);
    Session& session = *opened;
    require_variables(session);
    RunQueues facts = read_run_queues(session.types(), session.log());
    std::vector<Limit> limits = limits_of("/cpus", facts.problems);
    return finish(options, answer_of(session, std::move(facts), std::move(limits)));
  });
}

}  // namespace kdk
