// What was going on beside the crash: who ran and who waited for a CPU, timers that were late, works and
// their workers, I/O on its way. Of a machine that hung it is the answer; of another the surroundings.
#pragma once

#include <optional>

#include "analyze/inspect/devices.h"
#include "analyze/inspect/run_queues.h"
#include "analyze/inspect/timers.h"
#include "analyze/inspect/workqueues.h"

namespace kdk {

struct Activity {
  // Each nullopt: unknown, and a limit says why.
  std::optional<RunQueues> queues;
  std::optional<Timers> late;       // only timers that were overdue by a second or more
  std::optional<WorkQueues> works;  // only pools with work
  std::optional<Devices> disks;     // only those with requests on their way
};

// Leaves out of the listings what was at rest.
Timers overdue_only(Timers timers);
WorkQueues working_only(WorkQueues works);
Devices with_requests_only(Devices devices);

}  // namespace kdk
