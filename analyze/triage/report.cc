#include "analyze/triage/report.h"

#include <algorithm>
#include <array>

namespace kdk {

bool partial(const std::vector<Limit>& limits) {
  return std::any_of(limits.begin(), limits.end(), [](const Limit& limit) { return limit.damage; });
}

namespace {

// What called panic(), when that is inside every exception and interrupt of the trace.
const Frame* inner_panic(const Backtrace& trace) {
  for (size_t i = 0; i + 1 < trace.frames.size(); ++i) {
    const Frame& frame = trace.frames[i];
    if (frame.kind == FrameKind::exception || frame.kind == FrameKind::bad_call) return nullptr;
    if (frame.symbol == "panic" || frame.symbol == "vpanic") return &trace.frames[i + 1];
  }
  return nullptr;
}

// Somebody noticed what the interrupted code did not do.
bool about_interrupted(std::string_view name) {
  static constexpr std::array<std::string_view, 5> names = {"soft_lockup", "hard_lockup", "rcu_stall",
                                                            "watchdog_pretimeout", "watchdog_nmi"};
  return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace

const Frame* culprit(const Crash& crash) {
  const CpuState* cpu = crashing_cpu(crash);
  if (cpu == nullptr) return nullptr;
  if (!crash.fault && !about_interrupted(crash.crash_class.name)) {
    if (const Frame* caller = inner_panic(cpu->backtrace)) return caller;
  }
  return culprit(cpu->backtrace);
}

const Frame* culprit(const Backtrace& trace) {
  const Frame* after_panic = nullptr;
  for (size_t i = 0; i < trace.frames.size(); ++i) {
    const Frame& frame = trace.frames[i];
    if (frame.kind == FrameKind::exception || frame.kind == FrameKind::bad_call) return &frame;
    bool is_panic = frame.symbol == "panic" || frame.symbol == "vpanic" || frame.symbol == "nmi_panic";
    if (is_panic && i + 1 < trace.frames.size()) after_panic = &trace.frames[i + 1];
  }
  return after_panic;
}

}  // namespace kdk
