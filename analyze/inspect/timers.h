// Timers that were pending: those of the timer wheel, which count ticks, and high-resolution ones. Each with
// when it is due, what it calls, and on whose behalf; what is due and did not run is the trace of a CPU that
// could not take interrupts.
// Source: kernel/time/timer.c, kernel/time/hrtimer.c.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "analyze/inspect/kernel_clock.h"
#include "analyze/inspect/one_task.h"
#include "core/kernel/typed_memory.h"

namespace kdk {

struct PendingTimer {
  uint64_t address = 0;  // struct timer_list or hrtimer
  bool high_resolution = false;
  std::string base;                 // "local", "deferrable", "monotonic", "realtime soft", ...
  std::optional<uint64_t> expires;  // as it stands: jiffies, or ns on its own clock
  std::optional<int64_t> due_ns;    // from the last tick on; negative: it is late
  uint64_t function_address = 0;
  std::string function;            // escaped
  std::string work;                // of a delayed work: the function that it is to call; escaped
  std::optional<StackOwner> task;  // that it is to wake up
  bool overdue = false;            // late by more than its clock can explain
};

struct CpuTimers {
  unsigned cpu = 0;
  bool online = true;
  std::string running;               // function of the timer that was being run; escaped
  std::vector<PendingTimer> timers;  // the one that is due first, first
};

struct Timers {
  KernelClock clock;
  std::vector<CpuTimers> cpus;
  std::vector<std::string> problems;
};

// Throws Error{missing} when neither kind can be found.
Timers read_timers(TypedMemory& types, const KernelLog& log);

}  // namespace kdk
