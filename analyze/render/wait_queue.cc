// `wait`: text and JSON (schemas/analyze-wait.schema.json).
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "analyze/render/json_parts.h"
#include "analyze/render/object_parts.h"
#include "analyze/render/task_answers.h"
#include "analyze/render/timers.h"

namespace kdk {

using nlohmann::ordered_json;

std::string to_text(const Answer<WaitQueues>& answer) {
  std::string out;
  for (const WaitQueue& queue : answer.facts.queues) {
    if (!out.empty()) out += '\n';
    if (!queue.error.empty()) {
      out += fmt::format("{}: {}\n", queue.query, queue.error);
      continue;
    }
    out += fmt::format("{:016x}  {}{}{} wait\n", queue.address, queue.name, queue.name.empty() ? "" : ": ",
                       queue.entries.size());
    for (const WaitEntry& entry : queue.entries) {
      out += fmt::format("  {:016x}  {}", entry.address,
                         entry.task ? text::owner_name(*entry.task) : std::string("no task"));
      if (entry.task && entry.task->since_run_ns)
        out += fmt::format(", {}", text::span(static_cast<int64_t>(*entry.task->since_run_ns)));
      if (entry.exclusive) out += ", exclusive";
      if (!entry.function.empty()) out += fmt::format(", woken by {}", entry.function);
      out += '\n';
    }
  }
  return out;
}

std::string to_json_text(const Answer<WaitQueues>& answer) {
  ordered_json out = json::envelope("analyze-wait", answer.input, answer.limits);
  out["evidence"] = json::evidence(answer.evidence);
  ordered_json queues = ordered_json::array();
  for (const WaitQueue& queue : answer.facts.queues) {
    ordered_json entries = ordered_json::array();
    for (const WaitEntry& entry : queue.entries) {
      entries.push_back({{"address", json::hex(entry.address)},
                         {"task", entry.task ? json::stack_owner(*entry.task) : ordered_json(nullptr)},
                         {"function", json::text(entry.function)},
                         {"private", json::hex(entry.private_data)},
                         {"exclusive", entry.exclusive}});
    }
    queues.push_back({{"query", queue.query},
                      {"address", queue.error.empty() ? json::hex(queue.address) : ordered_json(nullptr)},
                      {"name", json::text(queue.name)},
                      {"entries", std::move(entries)},
                      {"error", json::text(queue.error)}});
  }
  out["queues"] = std::move(queues);
  out["limits"] = json::limits(answer.limits);
  return json::dump(out);
}

}  // namespace kdk
