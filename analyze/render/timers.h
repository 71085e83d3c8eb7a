// Renderings of what waits for time or for an event: timer, workqueue, wait.
#pragma once

#include <string>

#include "analyze/inspect/timers.h"
#include "analyze/inspect/wait_queue.h"
#include "analyze/inspect/workqueues.h"
#include "analyze/triage/answer.h"

namespace kdk {

std::string to_text(const Answer<Timers>& answer);
std::string to_json_text(const Answer<Timers>& answer);

// `all`: of `workqueue`, pools and workqueues without work, too.
struct WorkQueueListing {
  WorkQueues facts;
  bool all = false;
};
std::string to_text(const Answer<WorkQueueListing>& answer);
std::string to_json_text(const Answer<WorkQueueListing>& answer);

std::string to_text(const Answer<WaitQueues>& answer);
std::string to_json_text(const Answer<WaitQueues>& answer);

}  // namespace kdk
