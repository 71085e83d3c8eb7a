// `kdump-analyze timer`, `workqueue`, `wait`.
#include "analyze/render/timers.h"

#include "analyze/ask.h"
#include "analyze/commands/address_argument.h"
#include "analyze/commands/command.h"
#include "analyze/commands/commands.h"
#include "analyze/object_answers.h"

namespace kdk {
namespace {

WaitQueue wait_queue_of(Session& session, const std::string& query, bool simple,
                        std::vector<std::string>& problems) {
  WaitQueue out;
  // One queue of several: what is wrong with it is its own answer.
  try {
    const uint64_t address = require_address(session, query);
    out = read_wait_queue(session.types(), {address}, simple, session.log(), problems);
    if (const auto hit = session.kernel()->symbols().lookup(address); hit && hit->offset == 0)
      out.name = escape_untrusted(hit->symbol.name);
    if (out.name.empty()) out.name = session.owners().annotate(address);
  } catch (const Error& error) {
    out.error = escape_untrusted(error.message());
  }
  out.query = escape_untrusted(query);
  return out;
}

}  // namespace

void add_timer(Program& program) {
  Command command(program, "timer",
                  "Timers of each CPU: when they are due, what they call, which are overdue");
  command.dump();
  command.debug_info();
  command.output();
  command.run([](const Options& options) {
    const OpenSession opened(options);
    Session& session = *opened;
    require_variables(session, true);
    Timers facts = read_timers(session.types(), session.log());
    std::vector<Limit> limits = limits_of("/cpus", facts.problems);
    return finish(options, answer_of(session, std::move(facts), std::move(limits)));
  });
}

void add_workqueue(Program& program) {
  auto all = std::make_shared<bool>(false);
  Command command(program, "workqueue",
                  "Workqueues: workers and what they are busy with, works that wait, stalled pools");
  command.dump();
  command.app().add_flag("-a,--all", *all, "Pools and workqueues without work, too");
  command.debug_info();
  command.output();
  command.run([all](const Options& options) {
    const OpenSession opened(options);
    Session& session = *opened;
    require_variables(session, true);
    WorkQueueListing facts{read_workqueues(session.types(), session.log()), *all};
    std::vector<Limit> limits = limits_of("/pools", facts.facts.problems);
    return finish(options, answer_of(session, std::move(facts), std::move(limits)));
  });
}

void add_wait(Program& program) {
  struct Words {
    std::vector<std::string> queues;
    bool simple = false;
  };
  auto words = std::make_shared<Words>();
  Command command(program, "wait", "Who waits on a wait queue");
  command.one_dump();
  command.app()
      .add_option("ADDRESS", words->queues,
                  "struct wait_queue_head: a number, symbol+offset, or an expression")
      ->required();
  command.app().add_flag("-s,--simple", words->simple,
                         "struct swait_queue_head instead, as a completion has one");
  command.debug_info();
  command.output();
  command.run([words](const Options& options) -> int {
    const OpenSession opened(options);
    Session& session = *opened;
    require_variables(session, true);
    WaitQueues facts;
    size_t failed = 0;
    for (const std::string& query : words->queues) {
      facts.queues.push_back(wait_queue_of(session, query, words->simple, facts.problems));
      failed += facts.queues.back().error.empty() ? 0 : 1;
    }
    std::vector<Limit> limits = limits_of("/queues", facts.problems);
    const bool nothing = failed == facts.queues.size();
    const int code = finish(options, answer_of(session, std::move(facts), std::move(limits)));
    return nothing ? exit_failed : failed != 0 ? exit_partial : code;
  });
}

}  // namespace kdk
