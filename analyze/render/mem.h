#pragma once

#include <string>

#include "analyze/inspect/mem.h"
#include "analyze/triage/answer.h"

namespace kdk {

std::string to_text(const Answer<MemoryAnswer>& answer);
std::string to_json_text(const Answer<MemoryAnswer>& answer);

}  // namespace kdk
