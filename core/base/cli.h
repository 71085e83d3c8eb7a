// The contract every program keeps with its caller: exit codes and the shape of an error.
#pragma once

#include <functional>
#include <string_view>

namespace kdk {

// Exit codes (DESIGN "Command lines"). Findings in a report never change them.
enum ExitCode : int {
  exit_done = 0,
  exit_failed = 1,
  exit_usage = 2,
  exit_partial = 3,  // done in part; what is missing was printed and is in the JSON. `kdump-load status`: not armed
};

// Runs `body` (the whole program after start-up) and turns what leaves it into an exit code: an Error is printed on
// stderr as "program: error: what: why" plus "hint: what to do". std::bad_alloc and any other std::exception also end
// in exit_failed with a message; std::exception here is a bug and says so. Flushes stdout: a write error there (full
// disk, closed pipe) is exit_failed too, never silent.
int run_main(std::string_view program, const std::function<int()>& body) noexcept;

}  // namespace kdk
