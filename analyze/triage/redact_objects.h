// As redact.h, for the answers of commands that name files, mounts, interfaces and connections.
#pragma once

#include <vector>

#include "analyze/inspect/hardware.h"
#include "analyze/inspect/mounts.h"
#include "analyze/inspect/network.h"
#include "analyze/inspect/open_files.h"
#include "analyze/triage/redact.h"
#include "analyze/triage/redact_text.h"

namespace kdk {

// Each replaces in place. strict: names of files and of user tasks as a whole.
void redact(FileListing& files, RedactionLevel level, TextRedactor& replace);
void redact(Mounts& mounts, RedactionLevel level, TextRedactor& replace);
void redact(SystemFacts& system, RedactionLevel level, TextRedactor& replace);
void redact(Network& network, RedactionLevel level, TextRedactor& replace);
// What every answer carries: names of input files and of debug files, sentences.
void redact(InputFacts& input, Evidence& evidence, std::vector<Limit>& limits, TextRedactor& replace);

// All of an answer whose facts have `facts` and `redaction`.
template <typename Answer>
void redact_answer(Answer& answer, RedactionLevel level, TextRedactor replace) {
  answer.facts.redaction = {level, {}};
  if (level == RedactionLevel::none) return;
  redact(answer.facts.facts, level, replace);
  redact(answer.input, answer.evidence, answer.limits, replace);
  answer.facts.redaction.counts = replace.counts();
}

}  // namespace kdk
