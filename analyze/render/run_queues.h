// Renderings of run queues: `runq`, and the report's part on what was going on.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include <string>

#include "analyze/inspect/run_queues.h"
#include "analyze/triage/answer.h"

namespace kdk {

std::string to_text(const Answer<RunQueues>& answer);
std::string to_json_text(const Answer<RunQueues>& answer);

// One queue of them.
namespace text {
std::string run_queue(const RunQueues& queues, const RunQueue& queue);
}
namespace json {
nlohmann::ordered_json run_queue(const RunQueues& queues, const RunQueue& queue);
}

}  // namespace kdk
