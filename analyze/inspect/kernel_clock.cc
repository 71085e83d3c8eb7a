#include "analyze/inspect/kernel_clock.h"

namespace kdk {
namespace {

// No member or symbol tells CONFIG_HZ. The clock source of last resort counts ticks: its mult, scaled by its
// shift, is their length in nanoseconds (kernel/time/jiffies.c).
std::optional<uint64_t> tick_length(Kernel& kernel) {
  const auto source = kernel.symbol("clocksource_jiffies");
  const auto mult = kernel.layout().offset("clocksource", "mult"),
             shift = kernel.layout().offset("clocksource", "shift");
  if (!source || !mult || !shift) return std::nullopt;
  const auto scaled = kernel.memory().u32(*source + *mult), by = kernel.memory().u32(*source + *shift);
  if (!scaled || !by || *by >= 32) return std::nullopt;
  const uint64_t ns = *scaled >> *by;
  // CONFIG_HZ is from 24 to 1200 (alpha) in all of Kconfig.
  return ns >= 500'000 && ns <= 50'000'000 ? std::optional(ns) : std::nullopt;
}

}  // namespace

std::optional<int64_t> KernelClock::jiffies_ns(int64_t count) const {
  if (!tick_ns) return std::nullopt;
  const auto ns = static_cast<int64_t>(*tick_ns);
  if (count > INT64_MAX / ns || count < INT64_MIN / ns) return std::nullopt;
  return count * ns;
}

KernelClock read_kernel_clock(Kernel& kernel) {
  KernelClock clock;
  KernelMemory& memory = kernel.memory();
  clock.tick_ns = tick_length(kernel);
  if (const auto at = kernel.symbol("jiffies_64")) clock.jiffies = memory.u64(*at);
  // With CONFIG_TICK_ONESHOT the time of the last tick; else the time of the next, which is one later.
  if (const auto at = kernel.symbol("last_jiffies_update")) clock.monotonic_ns = memory.u64(*at);
  if (clock.monotonic_ns.value_or(0) == 0 && clock.tick_ns) {
    const auto at = kernel.symbol("tick_next_period");
    const auto next = at ? memory.u64(*at) : std::nullopt;
    if (next && *next >= *clock.tick_ns) clock.monotonic_ns = *next - *clock.tick_ns;
  }
  // Later than 292 years after boot is no time.
  if (clock.monotonic_ns && (*clock.monotonic_ns == 0 || *clock.monotonic_ns > INT64_MAX))
    clock.monotonic_ns.reset();
  return clock;
}

}  // namespace kdk
