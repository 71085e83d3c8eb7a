// Signals that ask a capture to end.
#pragma once

#include <atomic>

namespace kdk {

extern std::atomic<bool> stop_requested;

// The first SIGINT, SIGTERM or SIGHUP sets stop_requested, so that what is written is kept; a second one
// kills as usual.
void stop_on_signals();

}  // namespace kdk
