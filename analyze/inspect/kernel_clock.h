// What the kernel's own clocks said last: the moment that timers, works and requests are measured against.
//
// Time stands still in a dump, and for some milliseconds before it: the clocks are as of the last tick that
// anybody accounted. So what is late by these clocks was late at least that much.
// Source: kernel/time/tick-sched.c (last_jiffies_update), tick-common.c, timer.c (jiffies_64), jiffies.c.
#pragma once

#include <cstdint>
#include <optional>

#include "core/kernel/kernel.h"

namespace kdk {

struct KernelClock {
  std::optional<uint64_t> monotonic_ns;  // CLOCK_MONOTONIC at the last tick
  std::optional<uint64_t> jiffies;       // begins 300 s below 2^32, see INITIAL_JIFFIES
  std::optional<uint64_t> tick_ns;       // of one jiffy: 1 s / CONFIG_HZ

  std::optional<int64_t> jiffies_ns(int64_t jiffies) const;
};

// Never throws.
KernelClock read_kernel_clock(Kernel& kernel);

}  // namespace kdk
