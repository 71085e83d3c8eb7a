// The subcommand reserve.
#pragma once

#include <functional>

namespace CLI {
class App;
}

namespace kdk {

// Sets `chosen` to what shall run when the subcommand was given.
void add_reserve_command(CLI::App& app, std::function<int()>& chosen);

}  // namespace kdk
