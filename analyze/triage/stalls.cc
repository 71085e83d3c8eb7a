#include "analyze/triage/stalls.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

namespace kdk {
namespace {

constexpr int64_t second = 1'000'000'000;
// A task that could run gets a CPU within milliseconds, a timer fires within one, and a disk answers within
// seconds; its driver gives up after 30 (the default of blk_queue_rq_timeout()).
constexpr int64_t long_queued = 10 * second, long_overdue = 2 * second, long_request = 10 * second;

std::string who(const StackOwner& owner) {
  return fmt::format("{} {}", owner.task.comm.empty() ? "?" : owner.task.comm, owner.task.pid.value_or(-1));
}

// Of a span that may be negative: how long something is overdue.
std::string seconds(int64_t ns) {
  return fmt::format("{} s", std::abs(ns / second));
}

std::string_view plural(size_t count) {
  return count == 1 ? "" : "s";
}

}  // namespace

std::vector<Finding> find_stalls(const RunQueues& queues) {
  std::vector<Finding> out;
  for (size_t i = 0; i < queues.cpus.size(); ++i) {
    const RunQueue& queue = queues.cpus[i];
    size_t waiting = 0;
    const QueuedTask* longest = nullptr;
    for (const QueuedTask& task : queue.queued) {
      if (task.delayed || !task.queued_ns || *task.queued_ns < static_cast<uint64_t>(long_queued)) continue;
      ++waiting;
      if (longest == nullptr || *task.queued_ns > *longest->queued_ns) longest = &task;
    }
    if (longest == nullptr) continue;
    const std::string runs = queue.current ? fmt::format(", which runs {}", who(*queue.current)) : "";
    out.push_back({"KD0006",
                   "starved_tasks",
                   "warning",
                   0.9,
                   fmt::format("{} task{} that could run got no time on CPU {}{}; the longest, {}, for {}",
                               waiting, plural(waiting), queue.cpu, runs, who(longest->owner),
                               seconds(static_cast<int64_t>(*longest->queued_ns))),
                   {fmt::format("/activity/run_queues/{}", i)},
                   "the command runq shows the queues"});
  }
  return out;
}

std::vector<Finding> find_stalls(const Timers& timers) {
  std::vector<Finding> out;
  for (size_t i = 0; i < timers.cpus.size(); ++i) {
    const CpuTimers& cpu = timers.cpus[i];
    size_t late = 0;
    const PendingTimer* latest = nullptr;
    for (const PendingTimer& timer : cpu.timers) {
      if (!timer.overdue || !timer.due_ns || *timer.due_ns > -long_overdue) continue;
      ++late;
      if (latest == nullptr || *timer.due_ns < *latest->due_ns) latest = &timer;
    }
    if (latest == nullptr) continue;
    const std::string of = latest->work.empty() ? latest->function : latest->function + ": " + latest->work;
    out.push_back(
        {"KD0007",
         "overdue_timers",
         "warning",
         0.8,
         fmt::format("{} timer{} of CPU {} {} overdue, the longest, {}, by {}", late, plural(late), cpu.cpu,
                     late == 1 ? "is" : "are", of, seconds(*latest->due_ns)),
         {fmt::format("/activity/overdue_timers/{}", i)},
         "it took no timer interrupts, or did not get to its softirqs: the command timer shows them"});
  }
  return out;
}

std::vector<Finding> find_stalls(const WorkQueues& works) {
  std::vector<Finding> out;
  for (size_t i = 0; i < works.pools.size(); ++i) {
    const WorkerPool& pool = works.pools[i];
    if (!pool.stalled || !pool.idle_since_ns) continue;
    std::string busy;
    for (const BusyWorker& worker : pool.busy) {
      if (busy.size() < 200 && worker.work.address != 0)
        busy += fmt::format("{}{}", busy.empty() ? "; it is busy with " : ", ", worker.work.function);
    }
    out.push_back({"KD0008",
                   "stalled_workqueue",
                   "warning",
                   0.9,
                   fmt::format("A worker pool ({}) began none of its {} work{} for {}{}",
                               pool.cpu ? fmt::format("CPU {}", *pool.cpu) : "unbound", pool.pending.size(),
                               plural(pool.pending.size()), seconds(*pool.idle_since_ns), busy),
                   {fmt::format("/activity/worker_pools/{}", i)},
                   "the command workqueue shows workers and works"});
  }
  return out;
}

std::vector<Finding> find_stalls(const Devices& devices) {
  std::vector<Finding> out;
  for (size_t i = 0; i < devices.disks.size(); ++i) {
    const BlockDevice& disk = devices.disks[i];
    size_t old = 0;
    const BlockRequest* oldest = nullptr;
    for (const BlockRequest& request : disk.requests) {
      if (!request.age_ns || *request.age_ns < long_request) continue;
      ++old;
      if (oldest == nullptr || *request.age_ns > *oldest->age_ns) oldest = &request;
    }
    if (oldest == nullptr) continue;
    const bool quiesced = disk.quiesce_depth.value_or(0) != 0;
    out.push_back({"KD0009",
                   "slow_io",
                   "warning",
                   0.9,
                   fmt::format("{} request{} to {} {} on the way for long, the oldest, {}, for {}{}", old,
                               plural(old), disk.name, old == 1 ? "is" : "are", oldest->operation,
                               seconds(*oldest->age_ns), quiesced ? "; its queue is quiesced" : ""),
                   {fmt::format("/activity/disks/{}", i)},
                   oldest->in_driver ? "the device does not answer, or its interrupt is lost: dev, irq"
                                     : "they wait for the driver to take them: dev"});
  }
  return out;
}

void rank(std::vector<Finding>& findings) {
  const auto order = [](const Finding& finding) {
    return finding.severity == "critical" ? 0 : finding.severity == "warning" ? 1 : 2;
  };
  std::ranges::stable_sort(findings, {}, order);
}

}  // namespace kdk
