// The options that say what is to be loaded: of `plan`, `load` and `test`.
#pragma once

#include "loader/state/request.h"

namespace CLI {
class App;
class Option;
}

namespace kdk {

struct RequestOptions {
  LoadRequest request;
  bool reuse_command_line = false;  // asked for by name; it is the default anyway
};

// Returns the option for the kernel, which the caller may require.
CLI::Option* add_request_options(CLI::App& command, RequestOptions& options);

}  // namespace kdk
