#include "capture/run/supervisor.h"

#include <fmt/format.h>

#include <algorithm>

namespace kdk {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::seconds;

// How long a try may take to end after it was told to, and to die after it was killed (a process that waits
// for a dead disk does not).
constexpr seconds stop_grace(15), kill_grace(5);

// The stages of save_dump(), and run's own around them, by the deadline they share.
enum class Phase : uint8_t { prepare, log, summary, dump };
Phase phase_of(const std::string& stage) {
  if (stage == "prepare") return Phase::prepare;
  if (stage == "open" || stage == "log") return Phase::log;
  if (stage == "crash") return Phase::summary;
  return Phase::dump;
}

struct Outcome {
  Saved saved = Saved::nothing;
  std::string where;
  std::vector<std::string> reasons;
  std::string failure;     // a sentence, when it is not whole
  bool try_again = false;  // the same target, with more caution
};

std::string_view describe(Caution caution) {
  switch (caution) {
    case Caution::none:
      return "";
    case Caution::one_thread:
      return ", cautiously: with one thread";
    case Caution::no_diagnosis:
      return ", cautiously: without a look at the crash";
    case Caution::all_pages:
      return ", cautiously: all memory";
  }
  return "";
}

// nullopt when there is none left.
std::optional<Caution> more_caution(Caution caution, std::string_view stage_it_died_in) {
  if (caution == Caution::all_pages) return std::nullopt;
  const Caution wanted = stage_it_died_in == "crash"  ? Caution::no_diagnosis
                         : stage_it_died_in == "scan" ? Caution::all_pages
                                                      : Caution::one_thread;
  return wanted > caution ? wanted : Caution::all_pages;
}

class Supervisor {
 public:
  Supervisor(const RunConfig& config, RunHost& host, const std::atomic<bool>& stop)
      : config_(config), host_(host), stop_(stop), end_(host.now() + config.total_deadline) {}

  RunResult run() {
    for (size_t target = 0; target < config_.targets.size(); ++target) {
      AttemptPlan plan;
      plan.target = target;
      for (std::optional<Caution> caution = Caution::none; caution;) {
        plan.caution = *caution;
        if (over()) return give_up();
        const std::string name = config_.targets[target].describe();
        host_.say(fmt::format("saving to {}{}", name, describe(plan.caution)));
        plan.history = result_.history;
        const Outcome outcome = watch(plan);
        if (outcome.saved > result_.saved) {
          result_.saved = outcome.saved;
          result_.target = target;
          result_.where = outcome.where;
          result_.reasons = outcome.reasons;
        }
        if (outcome.saved == Saved::whole) return result_;
        result_.history.push_back(fmt::format("{}: {}", name, outcome.failure));
        host_.say(result_.history.back());
        caution = outcome.try_again ? more_caution(plan.caution, stage_) : std::nullopt;
      }
    }
    return result_;
  }

 private:
  bool over() const { return stop_ || host_.now() >= end_; }

  RunResult give_up() {
    result_.history.emplace_back(stop_ ? "interrupted" : "the total deadline has passed");
    host_.say(result_.history.back());
    return result_;
  }

  // Why the try must not go on; empty while it may. `hung`: in the dump's data rather than at the target.
  std::string objection(bool& hung) {
    const Clock::time_point now = host_.now();
    if (stop_) return "interrupted";
    if (now >= end_) return "the total deadline has passed";
    const seconds deadline = phase_ == Phase::prepare   ? config_.prepare_deadline
                             : phase_ == Phase::log     ? config_.log_deadline
                             : phase_ == Phase::summary ? config_.summary_deadline
                                                        : config_.dump_deadline;
    hung = stage_ == "crash" || stage_ == "scan";
    if (now >= phase_start_ + deadline) {
      return fmt::format("not done within {} s (stage {})", deadline.count(), stage_);
    }
    if (now >= last_progress_ + config_.stall) {
      return fmt::format("no progress for {} s (stage {})", config_.stall.count(), stage_);
    }
    return {};
  }

  void progressed() { last_progress_ = host_.now(); }

  void take(const AttemptEvent& event, Outcome& outcome) {
    switch (event.kind) {
      case AttemptEvent::Kind::stage:
        if (phase_of(event.text) != phase_ || stage_.empty()) phase_start_ = host_.now();
        phase_ = phase_of(event.text);
        stage_ = event.text;
        progressed();
        break;
      case AttemptEvent::Kind::progress:
        if (event.amount != amount_) progressed();
        amount_ = event.amount;
        break;
      case AttemptEvent::Kind::reason:
        outcome.reasons.push_back(event.text);
        break;
      case AttemptEvent::Kind::saved:
        outcome.saved = Saved::whole;
        outcome.where = event.text;
        break;
      case AttemptEvent::Kind::cut:
        outcome.saved = Saved::cut;
        outcome.where = event.text;
        break;
      case AttemptEvent::Kind::failed:
        outcome.failure = event.text;
        break;
      case AttemptEvent::Kind::ended:
        break;
    }
  }

  Outcome watch(const AttemptPlan& plan) {
    Outcome outcome;
    stage_.clear();
    phase_ = Phase::prepare;
    phase_start_ = last_progress_ = host_.now();
    std::string why_stopped;
    bool hung = false, killed = false;
    Clock::time_point patience;  // after it was stopped or killed
    const std::unique_ptr<Attempt> attempt = host_.start(plan);
    for (;;) {
      // No food without progress: should all else fail, the watchdog resets the machine.
      if (host_.now() < last_progress_ + config_.stall) host_.feed_watchdog();
      const std::optional<AttemptEvent> event = attempt->next(std::chrono::milliseconds(500));
      if (event) {
        take(*event, outcome);
        if (event->kind == AttemptEvent::Kind::ended) {
          describe_end(outcome, *event, why_stopped, hung);
          return outcome;
        }
      }
      if (why_stopped.empty()) {
        why_stopped = objection(hung);
        if (why_stopped.empty()) continue;
        attempt->stop();
        patience = host_.now() + stop_grace;
      } else if (host_.now() >= patience) {
        if (killed) {
          outcome.failure = why_stopped + "; it cannot even be killed";
          return outcome;
        }
        attempt->kill();
        killed = true;
        patience = host_.now() + kill_grace;
      }
    }
  }

  static void describe_end(Outcome& outcome, const AttemptEvent& end, const std::string& why_stopped,
                           bool hung) {
    if (outcome.saved == Saved::whole) return;
    if (!why_stopped.empty()) {
      outcome.failure = why_stopped;
      outcome.try_again = hung;
    } else if (!end.text.empty()) {
      outcome.failure = end.text;
      outcome.try_again = true;
    } else if (outcome.failure.empty()) {
      outcome.failure = outcome.reasons.empty() ? "it ended without a word" : outcome.reasons.back();
    }
  }

  const RunConfig& config_;
  RunHost& host_;
  const std::atomic<bool>& stop_;
  const Clock::time_point end_;
  RunResult result_;
  // of the try that is being watched
  std::string stage_;
  Phase phase_ = Phase::prepare;
  uint64_t amount_ = 0;
  Clock::time_point phase_start_, last_progress_;
};

}  // namespace

RunResult supervise(const RunConfig& config, RunHost& host, const std::atomic<bool>& stop) {
  return Supervisor(config, host, stop).run();
}

}  // namespace kdk
