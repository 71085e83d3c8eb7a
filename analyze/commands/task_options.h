// Options by which several commands choose tasks.
#pragma once

#include "analyze/inspect/processes.h"

namespace CLI {
class App;
}

namespace kdk {

// --state, --pid, --name, --leaders, --user, --kernel. `filter` must outlive the parsing.
void add_task_filter(CLI::App& app, TaskFilter& filter);

}  // namespace kdk
