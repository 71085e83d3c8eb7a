// `timer`: text and JSON (schemas/analyze-timer.schema.json).
#include "analyze/render/timers.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "analyze/render/json_parts.h"
#include "analyze/render/object_parts.h"
#include "analyze/render/task_answers.h"

namespace kdk {

using nlohmann::ordered_json;

std::string text::pending_timer(const PendingTimer& timer) {
  const std::string due = timer.due_ns ? until(*timer.due_ns) : "?";
  std::string out =
      fmt::format("  {:>12} {:<14} {:016x}  {}", due, timer.base, timer.address, timer.function);
  if (!timer.work.empty()) out += fmt::format(": {}", timer.work);
  if (timer.task) out += fmt::format(": {}", owner_name(*timer.task));
  if (timer.overdue) out += "  OVERDUE";
  return out + '\n';
}

ordered_json json::pending_timer(const PendingTimer& timer) {
  ordered_json out;
  out["address"] = hex(timer.address);
  out["kind"] = timer.high_resolution ? "hrtimer" : "timer";
  out["base"] = timer.base;
  out["expires"] = hex(timer.expires);
  out["due_us"] = signed_microseconds(timer.due_ns);
  out["overdue"] = timer.overdue;
  out["function"] = timer.function;
  out["function_address"] = hex(timer.function_address);
  out["work"] = text(timer.work);
  out["task"] = timer.task ? stack_owner(*timer.task) : ordered_json(nullptr);
  return out;
}

std::string to_text(const Answer<Timers>& answer) {
  const Timers& facts = answer.facts;
  std::string out;
  size_t count = 0, late = 0;
  for (const CpuTimers& cpu : facts.cpus) {
    out += fmt::format("{}CPU {}", out.empty() ? "" : "\n", cpu.cpu);
    if (!cpu.running.empty()) out += fmt::format("  running {}", cpu.running);
    out += '\n';
    for (const PendingTimer& timer : cpu.timers) {
      out += text::pending_timer(timer);
      ++count;
      late += timer.overdue ? 1 : 0;
    }
  }
  out += fmt::format("\n{} timers, {} overdue", count, late);
  if (facts.clock.monotonic_ns)
    out += fmt::format("; counted from the last tick, {} after boot",
                       text::span(static_cast<int64_t>(*facts.clock.monotonic_ns)));
  if (facts.clock.tick_ns) out += fmt::format(", {} ticks a second", 1'000'000'000 / *facts.clock.tick_ns);
  return out + '\n';
}

std::string to_json_text(const Answer<Timers>& answer) {
  const Timers& facts = answer.facts;
  ordered_json out = json::envelope("analyze-timer", answer.input, answer.limits);
  out["evidence"] = json::evidence(answer.evidence);
  out["clock"] = json::kernel_clock(facts.clock);
  ordered_json cpus = ordered_json::array();
  for (const CpuTimers& cpu : facts.cpus) {
    ordered_json timers = ordered_json::array();
    for (const PendingTimer& timer : cpu.timers) timers.push_back(json::pending_timer(timer));
    cpus.push_back({{"cpu", cpu.cpu},
                    {"online", cpu.online},
                    {"running", json::text(cpu.running)},
                    {"timers", std::move(timers)}});
  }
  out["cpus"] = std::move(cpus);
  out["limits"] = json::limits(answer.limits);
  return json::dump(out);
}

}  // namespace kdk
