// The subcommand test.
#pragma once

#include <functional>

namespace CLI {
class App;
}

namespace kdk {

// Sets `chosen` to what shall run when the subcommand was given.
void add_test_command(CLI::App& app, std::function<int()>& chosen);

}  // namespace kdk
