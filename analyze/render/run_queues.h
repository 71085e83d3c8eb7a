#pragma once

#include <string>

#include "analyze/inspect/run_queues.h"
#include "analyze/triage/answer.h"

namespace kdk {

std::string to_text(const Answer<RunQueues>& answer);
std::string to_json_text(const Answer<RunQueues>& answer);

}  // namespace kdk
