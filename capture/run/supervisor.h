// Decides what `kdump-capture run` does next: which target, for how long, and when to give one up. Every try
// is an Attempt of its own (a child process), so that a try that hangs, crashes or is killed for its memory
// takes nothing with it. Knows neither processes nor clocks nor devices: RunHost has them, and a test can be
// one.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "capture/run/run_config.h"

namespace kdk {

// What a try leaves undone because an earlier one died of it, or got lost in the dump's data; each as well
// what those before it do.
enum class Caution : uint8_t {
  none,
  one_thread,    // died, it is not known of what: most likely short of memory
  no_diagnosis,  // died while it looked at the crash
  all_pages,     // died while it chose pages, or twice: no look at struct pages, all memory is saved
};

struct AttemptPlan {
  size_t target = 0;  // index into RunConfig::targets
  Caution caution = Caution::none;
  std::vector<std::string> history;  // what was tried before; sentences
};

struct AttemptEvent {
  enum class Kind : uint8_t {
    stage,     // text: what it does now
    progress,  // amount: grows while something is done
    reason,    // text: why what is saved is not all
    saved,     // text: where the whole dump is
    cut,       // text: where a part of the dump is
    failed,    // text: why nothing could be saved
    ended,     // the last one; text: how it died, empty when it ended by itself
  };
  Kind kind = Kind::stage;
  std::string text;
  uint64_t amount = 0;
};

class Attempt {
 public:
  virtual ~Attempt() = default;
  // The next event; nullopt when none came within `longest`.
  virtual std::optional<AttemptEvent> next(std::chrono::milliseconds longest) = 0;
  virtual void stop() = 0;  // it is to end soon and keep what it has
  virtual void kill() = 0;
};

class RunHost {
 public:
  virtual ~RunHost() = default;
  virtual std::chrono::steady_clock::time_point now() = 0;
  virtual std::unique_ptr<Attempt> start(const AttemptPlan& plan) = 0;
  virtual void feed_watchdog() = 0;
  virtual void say(const std::string& sentence) = 0;  // on the console
};

enum class Saved : uint8_t { nothing, cut, whole };

struct RunResult {
  Saved saved = Saved::nothing;
  size_t target = 0;                 // that has it
  std::string where;                 // there
  std::vector<std::string> reasons;  // why what is saved is not all
  std::vector<std::string> history;  // tries that came to nothing, or to less
};

// Tries the targets in order until one has the whole dump. `stop`: a signal asks to end.
RunResult supervise(const RunConfig& config, RunHost& host, const std::atomic<bool>& stop);

}  // namespace kdk
