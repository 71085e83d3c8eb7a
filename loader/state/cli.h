// The subcommands verify and reload.
#pragma once

#include <functional>

namespace CLI {
class App;
}

namespace kdk {

// Each sets `chosen` to what shall run when its subcommand was given.
void add_verify_command(CLI::App& app, std::function<int()>& chosen);
void add_reload_command(CLI::App& app, std::function<int()>& chosen);

}  // namespace kdk
