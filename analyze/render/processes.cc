// `ps`: text and JSON (schemas/analyze-ps.schema.json).
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "analyze/render/json_parts.h"
#include "analyze/render/task_answers.h"
#include "analyze/render/text_parts.h"

namespace kdk {
namespace {

using json::integer;
using nlohmann::ordered_json;

constexpr unsigned max_indent = 30;  // levels of a tree that still move to the right

template <typename T>
std::string number(const std::optional<T>& value) {
  return value ? fmt::format("{}", *value) : "?";
}

std::string size(const Task& task, const ProcessFacts& facts, std::optional<uint64_t> bytes) {
  if (bytes) return text::bytes(*bytes);
  return facts.mm == 0 || task.kernel_thread ? "-" : "?";
}

std::string last_run(const Task& task, const ProcessFacts& facts) {
  if (task.on_cpu.value_or(false)) return "now";
  return facts.since_run_ns ? text::duration(*facts.since_run_ns) + " ago" : "?";
}

ordered_json microseconds(std::optional<uint64_t> ns) {
  return ns ? integer(*ns / 1000) : ordered_json(nullptr);
}

template <typename T>
ordered_json or_null(const std::optional<T>& value) {
  return value ? ordered_json(*value) : ordered_json(nullptr);
}

}  // namespace

std::string to_text(const Answer<ProcessListing>& answer) {
  const ProcessTable& table = answer.facts.table;
  if (!table.list.why_not.empty()) return {};
  std::string out = fmt::format("{:>7} {:>7} {:>7} {:>4} S {:>10} {:>10} {:>14}  COMMAND\n", "PID", "TGID",
                                "PPID", "CPU", "RSS", "VSZ", "LAST RUN");
  for (const TaskRow& row : answer.facts.rows) {
    const Task& task = table.list.tasks[row.index];
    const ProcessFacts& facts = table.facts[row.index];
    std::string name = task.comm.empty() ? "?" : task.comm;
    if (task.kernel_thread) name = "[" + name + "]";
    if (answer.facts.tree && task.pid != task.tgid) name = "{" + name + "}";
    const std::string indent(size_t{2} * std::min(row.depth, max_indent), ' ');
    out += fmt::format("{:>7} {:>7} {:>7} {:>4} {} {:>10} {:>10} {:>14}  {}{}\n", number(task.pid),
                       number(task.tgid), number(task.ppid), number(task.cpu), task.state,
                       size(task, facts, facts.rss_bytes), size(task, facts, facts.vsz_bytes),
                       last_run(task, facts), indent, name);
  }
  out += fmt::format("{} of {} tasks in {} processes", answer.facts.rows.size(), table.list.tasks.size(),
                     table.list.processes);
  if (table.clock)
    out +=
        fmt::format("; the crash: {} after boot ({})", text::duration(table.clock->ns), table.clock->source);
  return out + '\n';
}

std::string to_json_text(const Answer<ProcessListing>& answer) {
  const ProcessTable& table = answer.facts.table;
  ordered_json out = json::envelope("analyze-ps", answer.input, answer.limits);
  out["evidence"] = json::evidence(answer.evidence);
  ordered_json clock = nullptr;
  if (table.clock) clock = {{"us", microseconds(table.clock->ns)}, {"source", table.clock->source}};
  out["crash_clock"] = std::move(clock);
  out["last_run_source"] = json::text(table.last_run_source);
  out["complete"] = table.list.complete;
  out["tree"] = answer.facts.tree;
  out["tasks"] = table.list.tasks.size();
  out["processes"] = table.list.processes;
  ordered_json items = ordered_json::array();
  for (const TaskRow& row : answer.facts.rows) {
    const Task& task = table.list.tasks[row.index];
    const ProcessFacts& facts = table.facts[row.index];
    ordered_json item;
    item["depth"] = row.depth;
    item["pid"] = or_null(task.pid);
    item["tgid"] = or_null(task.tgid);
    item["ppid"] = or_null(task.ppid);
    item["comm"] = json::text(task.comm);
    item["state"] = std::string(1, task.state);
    item["cpu"] = integer(task.cpu);
    item["on_cpu"] = or_null(task.on_cpu);
    item["kernel_thread"] = task.kernel_thread;
    item["address"] = json::hex(task.address);
    item["mm"] = facts.mm && *facts.mm != 0 ? json::hex(*facts.mm) : ordered_json(nullptr);
    item["rss_bytes"] = integer(facts.rss_bytes);
    item["vsz_bytes"] = integer(facts.vsz_bytes);
    item["swap_bytes"] = integer(facts.swap_bytes);
    item["last_run_us"] = microseconds(facts.last_run_ns);
    item["since_run_us"] = microseconds(facts.since_run_ns);
    item["start_us"] = microseconds(facts.start_ns);
    item["runtime_us"] = microseconds(facts.runtime_ns);
    item["policy"] = json::text(facts.policy);
    item["priority"] = or_null(facts.priority);
    item["nice"] = or_null(facts.nice);
    item["voluntary_switches"] = integer(facts.voluntary_switches);
    item["involuntary_switches"] = integer(facts.involuntary_switches);
    items.push_back(std::move(item));
  }
  out["items"] = std::move(items);
  out["limits"] = json::limits(answer.limits);
  return json::dump(out);
}

}  // namespace kdk
