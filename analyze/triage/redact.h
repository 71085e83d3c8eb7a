// A report without what identifies people and machines, for a ticket that leaves the house.
#pragma once

#include <optional>
#include <string_view>

#include "analyze/triage/report.h"

namespace kdk {

// "none", "default", "strict"; nullopt for another word.
std::optional<RedactionLevel> redaction_level(std::string_view word);

// Replaces in place, see redact_text.h for what is looked for. default: in the log, the command line,
// messages, paths of files; the host's name. strict: also the names of user tasks, every value of the command
// line, and what programs wrote into the kernel's log. Addresses and registers stay, they are what a report
// is about. Says in report.redaction what was done.
void redact(Report& report, RedactionLevel level);

}  // namespace kdk
