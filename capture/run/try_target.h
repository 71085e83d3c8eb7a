// One try of `run`, in its child process: names the dump, makes the target ready, saves, finishes.
#pragma once

#include <atomic>
#include <ctime>
#include <filesystem>
#include <optional>

#include "capture/run/child_attempt.h"
#include "capture/run/run_config.h"

namespace kdk {

struct RunInput {
  std::filesystem::path dump = "/proc/vmcore";
  std::optional<std::filesystem::path> vmcoreinfo;
  // In the place of the time of a crash that the dump does not tell, the same for every try.
  std::time_t started = std::time(nullptr);
};

// Everything that happens, goes into `events`; never throws Error.
void try_target(const RunConfig& config, const AttemptPlan& plan, const RunInput& input, EventPipe& events,
                const std::atomic<bool>& stop);

}  // namespace kdk
