// `irq`: text and JSON (schemas/analyze-irq.schema.json).
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "analyze/inspect/object.h"
#include "analyze/render/devices.h"
#include "analyze/render/json_parts.h"
#include "analyze/render/task_answers.h"

namespace kdk {
namespace {

using nlohmann::ordered_json;

constexpr size_t most_columns = 8;  // of CPUs; with more, only the sum

std::string handlers_text(const Interrupt& line) {
  std::string out;
  for (const InterruptHandler& handler : line.handlers) {
    out += fmt::format("{}{} {}", out.empty() ? "" : ", ", handler.name.empty() ? "?" : handler.name,
                       handler.function);
    if (!handler.thread_function.empty()) out += fmt::format(", in a thread {}", handler.thread_function);
  }
  if (line.in_progress) out += "  IN PROGRESS";
  if (line.disabled && !line.handlers.empty()) out += "  disabled";
  return out.empty() ? "-" : out;
}

ordered_json cpus(const std::optional<std::vector<unsigned>>& mask) {
  return mask ? ordered_json(*mask) : ordered_json(nullptr);
}

}  // namespace

std::string to_text(const Answer<InterruptListing>& answer) {
  const Interrupts& facts = answer.facts.facts;
  const bool columns = facts.cpus.size() <= most_columns;
  std::string out = fmt::format("{:>5}", "IRQ");
  if (columns) {
    for (const unsigned cpu : facts.cpus) out += fmt::format(" {:>9}", fmt::format("CPU {}", cpu));
  } else {
    out += fmt::format(" {:>12}", "COUNT");
  }
  out += fmt::format("  {:<26} {:>7}  {:<8}  {}\n", "CHIP", "HWIRQ", "CPUS", "HANDLERS");
  size_t hidden = 0;
  for (const Interrupt& line : facts.lines) {
    if (line.handlers.empty() && !answer.facts.all) {
      ++hidden;
      continue;
    }
    out += fmt::format("{:>5}", line.irq);
    if (columns) {
      for (const unsigned cpu : facts.cpus) {
        std::string shown = "?";
        for (const Interrupt::Count& count : line.counts) {
          if (count.cpu == cpu) shown = fmt::format("{}", count.count);
        }
        out += fmt::format(" {:>9}", shown);
      }
    } else {
      out += fmt::format(" {:>12}", line.counts.empty() ? "?" : fmt::format("{}", line.total));
    }
    out += fmt::format("  {:<26} {:>7}  {:<8}  {}\n", line.chip.empty() ? "-" : line.chip,
                       line.hardware_irq ? fmt::format("{}", *line.hardware_irq) : "?",
                       line.affinity ? cpu_ranges(*line.affinity) : "?", handlers_text(line));
  }
  if (hidden != 0) out += fmt::format("{} lines without a handler are not shown: -a\n", hidden);
  return out;
}

std::string to_json_text(const Answer<InterruptListing>& answer) {
  ordered_json out = json::envelope("analyze-irq", answer.input, answer.limits);
  out["evidence"] = json::evidence(answer.evidence);
  ordered_json lines = ordered_json::array();
  for (const Interrupt& line : answer.facts.facts.lines) {
    ordered_json counts = ordered_json::array();
    for (const Interrupt::Count& count : line.counts)
      counts.push_back({{"cpu", count.cpu}, {"count", count.count}});
    ordered_json handlers = ordered_json::array();
    for (const InterruptHandler& handler : line.handlers) {
      handlers.push_back(
          {{"address", json::hex(handler.address)},
           {"name", json::text(handler.name)},
           {"function", json::text(handler.function)},
           {"thread_function", json::text(handler.thread_function)},
           {"thread", handler.thread ? json::stack_owner(*handler.thread) : ordered_json(nullptr)}});
    }
    ordered_json item;
    item["irq"] = line.irq;
    item["address"] = json::hex(line.address);
    item["chip"] = json::text(line.chip);
    item["hardware_irq"] = json::integer(line.hardware_irq);
    item["counts"] = std::move(counts);
    item["affinity"] = cpus(line.affinity);
    item["effective_affinity"] = cpus(line.effective_affinity);
    item["disabled"] = line.disabled;
    item["masked"] = line.masked;
    item["in_progress"] = line.in_progress;
    item["unhandled"] = json::integer(line.unhandled);
    item["handlers"] = std::move(handlers);
    lines.push_back(std::move(item));
  }
  out["lines"] = std::move(lines);
  out["limits"] = json::limits(answer.limits);
  return json::dump(out);
}

}  // namespace kdk
