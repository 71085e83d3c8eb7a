// `workqueue`: text and JSON (schemas/analyze-workqueue.schema.json).
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "analyze/render/json_parts.h"
#include "analyze/render/object_parts.h"
#include "analyze/render/task_answers.h"
#include "analyze/render/timers.h"

namespace kdk {
namespace {

using nlohmann::ordered_json;

template <typename T>
std::string number(const std::optional<T>& value) {
  return value ? fmt::format("{}", *value) : "?";
}

std::string pool_name(const WorkerPool& pool) {
  std::string out = fmt::format("POOL {}  ", pool.id);
  out += pool.cpu ? fmt::format("CPU {}", *pool.cpu) : std::string("unbound");
  if (pool.nice) out += fmt::format(", nice {}", *pool.nice);
  if (pool.bh) out += ", in softirq context";
  return out;
}

std::string work_text(const QueuedWork& work) {
  return work.workqueue.empty() ? work.function : fmt::format("{} ({})", work.function, work.workqueue);
}

ordered_json to_json(const QueuedWork& work) {
  return {{"address", json::hex(work.address)},
          {"function", json::text(work.function)},
          {"workqueue", json::text(work.workqueue)}};
}

ordered_json works(const std::vector<QueuedWork>& all) {
  ordered_json out = ordered_json::array();
  for (const QueuedWork& work : all) out.push_back(to_json(work));
  return out;
}

ordered_json owner(const std::optional<StackOwner>& task) {
  return task ? json::stack_owner(*task) : ordered_json(nullptr);
}

template <typename T>
ordered_json or_null(const std::optional<T>& value) {
  return value ? ordered_json(*value) : ordered_json(nullptr);
}

}  // namespace

std::string text::worker_pool(const WorkerPool& pool) {
  std::string out =
      fmt::format("{}, {} workers of which {} idle, struct worker_pool {:016x}\n", pool_name(pool),
                  number(pool.workers), number(pool.idle_workers), pool.address);
  if (pool.idle_since_ns && (pool.stalled || *pool.idle_since_ns > 1'000'000'000))
    out += fmt::format("  {}no work was begun for {}\n", pool.stalled ? "STALLED: " : "",
                       span(*pool.idle_since_ns));
  for (const BusyWorker& worker : pool.busy) {
    out += fmt::format("  busy     {}: {}", worker.task ? owner_name(*worker.task) : "?",
                       worker.work.address != 0 ? work_text(worker.work) : "nothing");
    if (worker.task && worker.task->since_run_ns)
      out += fmt::format(", ran last {} ago", span(static_cast<int64_t>(*worker.task->since_run_ns)));
    if (worker.rescuer) out += ", a rescuer";
    if (worker.scheduled != 0) out += fmt::format(", {} to follow", worker.scheduled);
    out += '\n';
  }
  for (const QueuedWork& work : pool.pending)
    out += fmt::format("  pending  {:016x}  {}\n", work.address, work_text(work));
  return out;
}

ordered_json json::worker_pool(const WorkerPool& pool) {
  ordered_json out;
  out["address"] = hex(pool.address);
  out["id"] = pool.id;
  out["cpu"] = or_null(pool.cpu);
  out["nice"] = or_null(pool.nice);
  out["softirq"] = pool.bh;
  out["workers"] = or_null(pool.workers);
  out["idle_workers"] = or_null(pool.idle_workers);
  out["stalled"] = pool.stalled;
  out["no_progress_us"] = signed_microseconds(pool.idle_since_ns);
  ordered_json busy = ordered_json::array();
  for (const BusyWorker& worker : pool.busy) {
    busy.push_back({{"address", hex(worker.address)},
                    {"task", owner(worker.task)},
                    {"rescuer", worker.rescuer},
                    {"work", worker.work.address != 0 ? to_json(worker.work) : ordered_json(nullptr)},
                    {"scheduled", worker.scheduled}});
  }
  out["busy"] = std::move(busy);
  out["pending"] = works(pool.pending);
  return out;
}

std::string to_text(const Answer<WorkQueueListing>& answer) {
  const WorkQueues& facts = answer.facts.facts;
  std::string out;
  size_t quiet = 0;
  for (const WorkerPool& pool : facts.pools) {
    if (!answer.facts.all && pool.busy.empty() && pool.pending.empty()) {
      ++quiet;
      continue;
    }
    out += text::worker_pool(pool);
  }
  if (quiet != 0) out += fmt::format("{} pools without work\n", quiet);
  size_t without = 0;
  std::string rows;
  for (const WorkQueue& queue : facts.queues) {
    if (!answer.facts.all && queue.active == 0 && queue.inactive.empty()) {
      ++without;
      continue;
    }
    rows += fmt::format("{:016x} {:>7} {:>8} {:>8}  {}\n", queue.address, queue.active, queue.inactive.size(),
                        number(queue.max_active), queue.name);
    for (const QueuedWork& work : queue.inactive)
      rows += fmt::format("  held back {:016x}  {}\n", work.address, work.function);
  }
  if (!rows.empty())
    out +=
        fmt::format("\n{:<16} {:>7} {:>8} {:>8}  {}\n", "WORKQUEUE", "ACTIVE", "INACTIVE", "MOST", "NAME") +
        rows;
  if (without != 0) out += fmt::format("{} workqueues without work\n", without);
  return out;
}

std::string to_json_text(const Answer<WorkQueueListing>& answer) {
  const WorkQueues& facts = answer.facts.facts;
  ordered_json out = json::envelope("analyze-workqueue", answer.input, answer.limits);
  out["evidence"] = json::evidence(answer.evidence);
  out["clock"] = json::kernel_clock(facts.clock);
  ordered_json pools = ordered_json::array();
  for (const WorkerPool& pool : facts.pools) pools.push_back(json::worker_pool(pool));
  out["pools"] = std::move(pools);
  ordered_json queues = ordered_json::array();
  for (const WorkQueue& queue : facts.queues) {
    queues.push_back({{"address", json::hex(queue.address)},
                      {"name", json::text(queue.name)},
                      {"flags", json::hex(queue.flags)},
                      {"max_active", or_null(queue.max_active)},
                      {"active", queue.active},
                      {"inactive", works(queue.inactive)},
                      {"rescuer", owner(queue.rescuer)}});
  }
  out["workqueues"] = std::move(queues);
  out["limits"] = json::limits(answer.limits);
  return json::dump(out);
}

}  // namespace kdk
