// The command line of estimate.
#pragma once

#include <functional>

#include "capture/estimate.h"

namespace CLI {
class App;
}

namespace kdk {

// Adds the subcommand; `chosen` gets what is to be run when it is given.
void add_estimate_command(CLI::App& app, std::function<int()>& chosen);

// Prints the estimate. Returns the exit status.
int run_estimate(const EstimateOptions& options, bool json);

}  // namespace kdk
