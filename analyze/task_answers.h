// What kdump-analyze can be asked about tasks and modules. As answers.h.
#pragma once

#include <string>
#include <vector>

#include "analyze/inspect/module_details.h"
#include "analyze/inspect/processes.h"
#include "analyze/session.h"
#include "analyze/triage/answer.h"

namespace kdk {

Answer<ProcessListing> make_processes(Session& session, const TaskFilter& filter, TaskOrder order, bool tree);
// Every module, or in full those of these names.
Answer<ModuleListing> make_modules(Session& session, const std::vector<std::string>& names);

}  // namespace kdk
