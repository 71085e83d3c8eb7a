#include "analyze/commands/redaction_option.h"

#include "core/kernel/system.h"

namespace kdk {

RedactionOption::RedactionOption(Command& command) : word_(std::make_shared<std::string>()) {
  command.app()
      .add_option(
          "--redact", *word_,
          "Take out what identifies people and machines: none (default for text), default (default for "
          "JSON), strict")
      ->check(CLI::IsMember({"none", "default", "strict"}));
}

RedactionLevel RedactionOption::level(const Options& options) const {
  return redaction_level(*word_).value_or(options.json ? RedactionLevel::normal : RedactionLevel::none);
}

TextRedactor RedactionOption::redactor(Session& session) const {
  SystemInfo system = system_from_dump(session.dump());
  if (Kernel* kernel = session.kernel()) complete_system(system, *kernel, session.log());
  TextRedactor out;
  out.add_host(system.hostname);
  return out;
}

}  // namespace kdk
