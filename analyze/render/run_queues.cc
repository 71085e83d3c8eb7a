// `runq`: text and JSON (schemas/analyze-runq.schema.json).
#include "analyze/render/run_queues.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "analyze/render/json_parts.h"
#include "analyze/render/object_parts.h"
#include "analyze/render/task_answers.h"

namespace kdk {
namespace {

using json::integer;
using nlohmann::ordered_json;

std::string name(const StackOwner& owner) {
  return fmt::format("{} {} {}", owner.task.pid ? fmt::format("{}", *owner.task.pid) : "?", owner.task.state,
                     owner.task.comm.empty() ? "?" : owner.task.comm);
}

std::string row(const QueuedTask& queued) {
  std::string out = fmt::format("  {:<9} {}", to_string(queued.scheduler), name(queued.owner));
  if (queued.priority) out += fmt::format(", priority {}", *queued.priority);
  if (queued.queued_ns)
    out += fmt::format(", waits for {}", text::span(static_cast<int64_t>(*queued.queued_ns)));
  if (queued.owner.since_run_ns)
    out += fmt::format(", ran last {} ago", text::span(static_cast<int64_t>(*queued.owner.since_run_ns)));
  if (queued.depth != 0)
    out += fmt::format(", in {} task group{}", queued.depth, queued.depth == 1 ? "" : "s");
  if (queued.delayed) out += ", sleeps: on its way off the queue";
  return out + '\n';
}

// How far the clock of a queue is behind the newest moment that the dump knows of.
std::optional<uint64_t> behind(const RunQueues& queues, const RunQueue& queue) {
  if (!queues.clock || !queue.clock_ns) return std::nullopt;
  return queues.clock->ns > *queue.clock_ns ? queues.clock->ns - *queue.clock_ns : 0;
}

ordered_json microseconds(std::optional<uint64_t> ns) {
  return ns ? integer(*ns / 1000) : ordered_json(nullptr);
}

ordered_json queued_task(const QueuedTask& queued) {
  ordered_json out;
  out["class"] = to_string(queued.scheduler);
  out["task"] = json::stack_owner(queued.owner);
  out["queued_us"] = microseconds(queued.queued_ns);
  out["priority"] = queued.priority ? ordered_json(*queued.priority) : ordered_json(nullptr);
  out["vruntime_us"] = microseconds(queued.vruntime_ns);
  out["deadline_us"] = microseconds(queued.deadline_ns);
  out["group_depth"] = queued.depth;
  out["delayed"] = queued.delayed;
  return out;
}

}  // namespace

std::string text::run_queue(const RunQueues& queues, const RunQueue& queue) {
  std::string out =
      fmt::format("CPU {}  {} running", queue.cpu, queue.running ? fmt::format("{}", *queue.running) : "?");
  if (const auto lag = behind(queues, queue))
    out += fmt::format(", its clock {} before the crash", span(static_cast<int64_t>(*lag)));
  if (queue.throttled) out += ", real-time tasks are throttled";
  out += fmt::format(", struct rq {:016x}\n", queue.address);
  out += queue.current ? fmt::format("  {:<9} {}\n", queue.idle ? "idle" : "runs", name(*queue.current))
                       : std::string("  runs      unknown\n");
  for (const QueuedTask& task : queue.queued) out += row(task);
  return out;
}

ordered_json json::run_queue(const RunQueues& queues, const RunQueue& queue) {
  ordered_json item;
  item["cpu"] = queue.cpu;
  item["online"] = queue.online;
  item["address"] = hex(queue.address);
  item["nr_running"] = integer(queue.running);
  item["nr_iowait"] = integer(queue.iowait);
  item["clock_us"] = microseconds(queue.clock_ns);
  item["clock_behind_us"] = microseconds(behind(queues, queue));
  item["idle"] = queue.idle;
  item["rt_throttled"] = queue.throttled;
  item["current"] = queue.current ? stack_owner(*queue.current) : ordered_json(nullptr);
  ordered_json tasks = ordered_json::array();
  for (const QueuedTask& task : queue.queued) tasks.push_back(queued_task(task));
  item["queued"] = std::move(tasks);
  return item;
}

std::string to_text(const Answer<RunQueues>& answer) {
  std::string out;
  for (const RunQueue& queue : answer.facts.cpus)
    out += (out.empty() ? "" : "\n") + text::run_queue(answer.facts, queue);
  return out;
}

std::string to_json_text(const Answer<RunQueues>& answer) {
  const RunQueues& facts = answer.facts;
  ordered_json out = json::envelope("analyze-runq", answer.input, answer.limits);
  out["evidence"] = json::evidence(answer.evidence);
  ordered_json clock = nullptr;
  if (facts.clock) clock = {{"us", microseconds(facts.clock->ns)}, {"source", facts.clock->source}};
  out["crash_clock"] = std::move(clock);
  ordered_json cpus = ordered_json::array();
  for (const RunQueue& queue : facts.cpus) cpus.push_back(json::run_queue(facts, queue));
  out["cpus"] = std::move(cpus);
  out["limits"] = json::limits(answer.limits);
  return json::dump(out);
}

}  // namespace kdk
