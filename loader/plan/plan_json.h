// JSON forms, as schemas/load-plan.schema.json and schemas/load-status.schema.json describe them. Addresses
// and sizes of memory are strings "0x" + 16 hex digits; small sizes are integers with their unit in the name.
#pragma once

#include <string>

#include "loader/plan/plan.h"
#include "loader/state/status.h"

namespace kdk {

// `loaded`: the plan is in the kernel now. Indented, without a final newline; so are the others.
std::string plan_to_json(const LoadPlan& plan, bool loaded);
std::string status_to_json(const LoadStatus& status);
std::string record_to_json(const LoadRecord& record);

}  // namespace kdk
