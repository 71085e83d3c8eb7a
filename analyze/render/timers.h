// Renderings of what waits for time or for an event: timer, workqueue, wait; and of their parts in the report.
#pragma once

#include <nlohmann/json_fwd.hpp>

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

// One of them, with a line end.
namespace text {
std::string pending_timer(const PendingTimer& timer);
std::string worker_pool(const WorkerPool& pool);
}  // namespace text
namespace json {
nlohmann::ordered_json pending_timer(const PendingTimer& timer);
nlohmann::ordered_json worker_pool(const WorkerPool& pool);
}  // namespace json

}  // namespace kdk
