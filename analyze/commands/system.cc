// `kdump-analyze sys`, `config`.
#include "analyze/render/system.h"

#include "analyze/ask.h"
#include "analyze/commands/command.h"
#include "analyze/commands/commands.h"
#include "analyze/commands/redaction_option.h"
#include "analyze/object_answers.h"
#include "analyze/triage/redact_objects.h"
#include "core/diagnose/log_trace.h"

namespace kdk {

void add_sys(Program& program) {
  Command command(program, "sys", "The machine and its kernel: names, CPUs, memory, load, panic");
  command.dump();
  command.debug_info();
  command.output();
  const RedactionOption redaction(command);
  command.run([redaction](const Options& options) {
    const OpenSession opened(options);
    Session& session = *opened;
    Kernel& kernel = require_variables(session);
    SystemListing facts;
    facts.facts.identity = system_from_dump(session.dump());
    complete_system(facts.facts.identity, kernel, session.log());
    facts.facts.hardware = read_hardware(kernel);
    if (const auto panic = find_panic_line(session.log())) facts.facts.panic_message = panic->message;
    auto answer = answer_of(session, std::move(facts));
    answer.facts.facts.ram_bytes = answer.input.ram_bytes;
    redact_answer(answer, redaction.level(options), redaction.redactor(session));
    return finish(options, answer);
  });
}

void add_config(Program& program) {
  auto names = std::make_shared<std::vector<std::string>>();
  Command command(program, "config", "The configuration that the kernel was built with, if it carries it");
  command.one_dump();
  command.app().add_option("NAME", *names, "Only options with this in their name (several: any of them)");
  command.debug_info();
  command.output();
  command.run([names](const Options& options) -> int {
    const OpenSession opened(options);
    Session& session = *opened;
    Kernel& kernel = require_variables(session);
    KernelConfig facts = read_kernel_config(kernel, *names);
    const std::string why_not = facts.why_not;
    const bool nothing = facts.options.empty();
    std::vector<Limit> limits;
    if (!why_not.empty()) limits.push_back({"/options", "not_recorded", why_not, ""});
    const int code = finish(options, answer_of(session, std::move(facts), std::move(limits)));
    if (!nothing) return code;
    log_error("{}", why_not.empty() ? std::string("no such option") : why_not);
    return exit_failed;
  });
}

}  // namespace kdk
