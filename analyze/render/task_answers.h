// Renderings of what is asked about tasks and modules: ps, mod, bt. As render.h.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include <string>

#include "analyze/inspect/module_details.h"
#include "analyze/inspect/processes.h"
#include "analyze/inspect/task_stacks.h"
#include "analyze/triage/answer.h"

namespace kdk {

std::string to_text(const Answer<ProcessListing>& answer);
std::string to_json_text(const Answer<ProcessListing>& answer);

std::string to_text(const Answer<ModuleListing>& answer);
std::string to_json_text(const Answer<ModuleListing>& answer);

std::string to_text(const Answer<TaskStacks>& answer);
std::string to_json_text(const Answer<TaskStacks>& answer);
// The frames of a stack, or why there are none.
std::string task_stack_text(const TaskStack& stack, bool addresses);

namespace json {
nlohmann::ordered_json stack_owner(const StackOwner& owner);
nlohmann::ordered_json task_stack(const TaskStack& stack, const Arch* arch);
}  // namespace json

}  // namespace kdk
