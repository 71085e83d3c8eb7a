// Loads again what the record says was loaded. Hotplug can ask for that a hundred times in a second: requests
// that come while one waits for quiet or runs are left to it, and it runs once more if any came meanwhile.
#pragma once

#include <chrono>
#include <functional>

#include "loader/state/arm.h"

namespace kdk {

struct Settling {
  std::chrono::milliseconds quiet{0};         // wait until no request came for so long
  std::chrono::milliseconds longest{60'000};  // but never longer than this
};

// Runs `work` in this process unless another one of this machine is already to do so. False: left to that
// one, which will run after this call. Throws Error{io,denied}, and what `work` throws.
bool run_coalesced(const SysRoot& root, const Settling& settling, const std::function<void()>& work);

enum class ReloadOutcome {
  reloaded,
  still_fits,        // only_if_stale, and verify_load found no difference
  not_loaded_by_us,  // only_if_stale, and there is nothing of ours to load again
};

// Throws Error{missing} when no load of this boot is recorded (unless only_if_stale), Error{unsupported} when
// a check fails: then the loaded image stays. Otherwise as arm().
ReloadOutcome reload(const SysRoot& root, bool only_if_stale, const KexecActions& kexec);

}  // namespace kdk
