// Findings about what went nowhere, out of run queues, timers, workqueues and block requests. Nothing is said
// where nothing is wrong. Evidence is pointed to by its place in the list given, which is that of the report's activity.
#pragma once

#include <vector>

#include "analyze/inspect/devices.h"
#include "analyze/inspect/run_queues.h"
#include "analyze/inspect/timers.h"
#include "analyze/inspect/workqueues.h"
#include "analyze/triage/findings.h"

namespace kdk {

std::vector<Finding> find_stalls(const RunQueues& queues);
std::vector<Finding> find_stalls(const Timers& timers);
std::vector<Finding> find_stalls(const WorkQueues& works);
std::vector<Finding> find_stalls(const Devices& devices);

// The most severe first.
void rank(std::vector<Finding>& findings);

}  // namespace kdk
