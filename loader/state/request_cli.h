// The options that say what is to be loaded: of `plan`, `load` and `test`.
#pragma once

#include "loader/state/request.h"

namespace CLI {
class App;
}

namespace kdk {

struct RequestOptions {
  LoadRequest request;
  bool reuse_command_line = false;  // asked for by name; it is the default anyway
  bool call_given = false, digest_given = false;
};

void add_request_options(CLI::App& command, RequestOptions& options);

}  // namespace kdk
