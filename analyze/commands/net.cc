// `kdump-analyze net`.
#include "analyze/render/net.h"

#include "analyze/ask.h"
#include "analyze/commands/command.h"
#include "analyze/commands/commands.h"
#include "analyze/commands/redaction_option.h"
#include "analyze/object_answers.h"
#include "analyze/triage/redact_objects.h"

namespace kdk {

void add_net(Program& program) {
  auto sockets = std::make_shared<bool>(false);
  Command command(program, "net", "Network interfaces with their addresses; TCP and UDP sockets");
  command.dump();
  command.app().add_flag("-s,--sockets", *sockets, "TCP and UDP sockets, too");
  command.debug_info();
  command.output();
  const RedactionOption redaction(command);
  command.run([sockets, redaction](const Options& options) {
    const OpenSession opened(options);
    Session& session = *opened;
    require_variables(session, true);
    NetworkAnswer facts{read_network(session.types(), *sockets), {}};
    std::vector<Limit> limits = limits_of("/namespaces", facts.facts.problems);
    auto answer = answer_of(session, std::move(facts), std::move(limits));
    redact_answer(answer, redaction.level(options), redaction.redactor(session));
    return finish(options, answer);
  });
}

}  // namespace kdk
