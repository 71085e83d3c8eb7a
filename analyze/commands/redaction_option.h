// --redact for the commands whose answer names machines and people: the same levels and defaults as of
// report.
#pragma once

#include <memory>
#include <string>

#include "analyze/commands/command.h"
#include "analyze/triage/redact.h"
#include "analyze/triage/redact_text.h"

namespace kdk {

class RedactionOption {
 public:
  explicit RedactionOption(Command& command);

  RedactionLevel level(const Options& options) const;
  // Knows the host's name.
  TextRedactor redactor(Session& session) const;

 private:
  std::shared_ptr<std::string> word_;
};

}  // namespace kdk
