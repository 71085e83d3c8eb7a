// What `run` does to the machine it runs on: the hardware watchdog, the OOM killer's order and the end.
#pragma once

#include <chrono>
#include <filesystem>
#include <string>

#include "capture/run/run_config.h"
#include "core/base/file.h"

namespace kdk {

// /dev/watchdog*: resets the machine unless it is fed. Opening starts it.
// Source: Documentation/watchdog/watchdog-api.rst.
class Watchdog {
 public:
  // `which` as in RunConfig::watchdog. "auto" without a watchdog, or "none": does nothing. A named device
  // that cannot be opened throws Error. `timeout`: after which it resets the machine, if its driver can do that.
  Watchdog(const std::string& which, std::chrono::seconds timeout);
  void feed() noexcept;
  // Stops it, where the driver allows: nobody will feed it while a person looks at a shell.
  void disarm() noexcept;
  bool running() const { return static_cast<bool>(fd_); }
  const std::string& device() const { return device_; }

 private:
  std::string device_;
  Fd fd_;
};

// Whom the kernel takes first when memory runs out: -1000 (never this process) to 1000. Without effect where
// that is not allowed. Source: Documentation/filesystems/proc.rst, oom_score_adj.
void set_oom_score(int score);

// Ends the machine; returns only for FinalAction::none, or when nothing helped. For `shell`, returns when the
// person has left it. Waits for dirty data, but not for ever.
void perform(FinalAction action);

}  // namespace kdk
