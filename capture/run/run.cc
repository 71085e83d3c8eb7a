#include "capture/run/run.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>

#include "capture/run/child_attempt.h"
#include "capture/run/machine.h"
#include "capture/stop.h"
#include "core/base/cli.h"
#include "core/base/log.h"

namespace kdk {
namespace {

// One line on the console; "kdumpkit: capture ..." are what others wait for.
void say_line(const std::string& text) {
  std::fputs(("kdumpkit: " + escape_untrusted(text) + "\n").c_str(), stderr);
}

class RealHost : public RunHost {
 public:
  RealHost(const RunConfig& config, const RunInput& input, Watchdog& watchdog)
      : config_(config), input_(input), watchdog_(watchdog) {}

  std::chrono::steady_clock::time_point now() override { return std::chrono::steady_clock::now(); }

  std::unique_ptr<Attempt> start(const AttemptPlan& plan) override {
    return start_child([&](EventPipe& events) {
      stop_requested = false;
      stop_on_signals();
      try_target(config_, plan, input_, events, stop_requested);
    });
  }

  void feed_watchdog() override { watchdog_.feed(); }
  void say(const std::string& sentence) override { say_line(sentence); }

 private:
  const RunConfig& config_;
  const RunInput& input_;
  Watchdog& watchdog_;
};

std::string describe(const RunResult& result) {
  switch (result.saved) {
    case Saved::whole:
      return fmt::format("saved {}{}", result.where,
                         result.reasons.empty() ? "" : "; " + result.reasons.front());
    case Saved::cut:
      return fmt::format("saved in part {}{}", result.where,
                         result.reasons.empty() ? "" : "; " + result.reasons.back());
    case Saved::nothing:
      return "nothing saved";
  }
  return {};
}

}  // namespace

int run_capture(const RunCommand& command) {
  const RunConfig config = read_run_config(ConfigFile::read(command.config));
  // By mistake on a machine that is alive, nobody wants it rebooted.
  const bool crash_kernel = command.input.dump == "/proc/vmcore" && ::access("/proc/vmcore", F_OK) == 0;
  stop_on_signals();
  // Out of memory, the kernel takes others first: this process is small and has the last word.
  set_oom_score(-1000);
  std::optional<Watchdog> watchdog;
  try {
    watchdog.emplace(crash_kernel || config.watchdog != "auto" ? config.watchdog : "none",
                     config.watchdog_timeout);
  } catch (const Error& e) {
    log_warning("watchdog: {}", e.message());
    watchdog.emplace("none", config.watchdog_timeout);
  }
  say_line(fmt::format("capture started, {} target{}{}", config.targets.size(),
                       config.targets.size() == 1 ? "" : "s",
                       watchdog->running() ? ", watchdog " + watchdog->device() : ""));
  RealHost host(config, command.input, *watchdog);
  const RunResult result = supervise(config, host, stop_requested);
  say_line("capture finished: " + describe(result));

  FinalAction action = result.saved == Saved::whole ? config.final_action : config.failure_action;
  if (command.final_action) {
    action = *command.final_action;
  } else if (!crash_kernel && action != FinalAction::none) {
    say_line(fmt::format("this is no crash kernel: no {}", to_string(action)));
    action = FinalAction::none;
  }
  if (action == FinalAction::shell || action == FinalAction::halt || action == FinalAction::none) {
    watchdog->disarm();
  }
  if (action != FinalAction::none) say_line(fmt::format("final action: {}", to_string(action)));
  perform(action);
  if (result.saved == Saved::nothing) return exit_failed;
  return result.saved == Saved::whole && result.reasons.empty() ? exit_done : exit_partial;
}

}  // namespace kdk
