// The plan and the status as text for people.
#pragma once

#include <string>

#include "loader/plan/plan.h"
#include "loader/state/status.h"

namespace kdk {

// Several lines, each ending in a newline. `verbose` adds the device tree edits and every program header of
// notes.
std::string plan_to_text(const LoadPlan& plan, bool verbose);
std::string status_to_text(const LoadStatus& status);

}  // namespace kdk
