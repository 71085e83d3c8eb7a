#pragma once

#include <string>

#include "analyze/inspect/disassembly.h"
#include "analyze/triage/answer.h"

namespace kdk {

std::string to_text(const Answer<Disassembly>& answer);
std::string to_json_text(const Answer<Disassembly>& answer);

}  // namespace kdk
