#include "analyze/triage/stalls.h"

#include <gtest/gtest.h>

#include "analyze/triage/activity.h"

namespace kdk {
namespace {

constexpr int64_t second = 1'000'000'000;

TEST(Stalls, NothingOfAMachineThatWorks) {
  EXPECT_TRUE(find_stalls(RunQueues{}).empty());
  EXPECT_TRUE(find_stalls(Timers{}).empty());
  EXPECT_TRUE(find_stalls(WorkQueues{}).empty());
  EXPECT_TRUE(find_stalls(Devices{}).empty());
}

TEST(Stalls, TasksThatGetNoTime) {
  RunQueues queues;
  RunQueue& queue = queues.cpus.emplace_back();
  queue.cpu = 3;
  queue.current.emplace().task.comm = "spinner";
  queue.current->task.pid = 9;
  for (const uint64_t seconds : {1, 12, 40}) {
    QueuedTask& task = queue.queued.emplace_back();
    task.owner.task.comm = "t" + std::to_string(seconds);
    task.owner.task.pid = static_cast<int32_t>(seconds);
    task.queued_ns = seconds * second;
  }
  queue.queued.emplace_back().owner.since_run_ns =
      500 * second;  // it slept that long, and has just been woken up
  QueuedTask& delayed = queue.queued.emplace_back();
  delayed.delayed = true;
  delayed.queued_ns = 90 * second;
  const std::vector<Finding> found = find_stalls(queues);
  ASSERT_EQ(1u, found.size());
  EXPECT_EQ("KD0006", found[0].id);
  EXPECT_EQ(
      "2 tasks that could run got no time on CPU 3, which runs spinner 9; the longest, t40 40, for 40 s",
      found[0].title);
}

TEST(Stalls, TimersThatAreLate) {
  Timers timers;
  CpuTimers& cpu = timers.cpus.emplace_back();
  cpu.cpu = 1;
  for (const int64_t due : {-1 * second, -5 * second, -9 * second, 4 * second}) {
    PendingTimer& timer = cpu.timers.emplace_back();
    timer.function = "f" + std::to_string(-due / second);
    timer.due_ns = due;
    timer.overdue = due < 0;
  }
  cpu.timers.emplace_back().due_ns = -100 * second;  // deferrable
  const std::vector<Finding> found = find_stalls(timers);
  ASSERT_EQ(1u, found.size());
  EXPECT_EQ("2 timers of CPU 1 are overdue, the longest, f9, by 9 s", found[0].title);
}

TEST(Stalls, PoolsThatBeginNothing) {
  WorkQueues works;
  WorkerPool& pool = works.pools.emplace_back();
  pool.pending.resize(3);
  pool.idle_since_ns = 31 * second;
  EXPECT_TRUE(find_stalls(works).empty());
  pool.stalled = true;
  pool.cpu = 2;
  BusyWorker& worker = pool.busy.emplace_back();
  worker.work.address = 1;
  worker.work.function = "spins";
  const std::vector<Finding> found = find_stalls(works);
  ASSERT_EQ(1u, found.size());
  EXPECT_EQ("A worker pool (CPU 2) began none of its 3 works for 31 s; it is busy with spins",
            found[0].title);
}

TEST(Stalls, RequestsThatAreNotAnswered) {
  Devices devices;
  BlockDevice& disk = devices.disks.emplace_back();
  disk.name = "sda";
  const auto request = [&](const std::string& operation, std::optional<int64_t> age_ns) {
    BlockRequest& one = disk.requests.emplace_back();
    one.operation = operation;
    one.in_driver = true;
    one.age_ns = age_ns;
  };
  request("READ", 3 * second);
  EXPECT_TRUE(find_stalls(devices).empty());
  request("WRITE", 45 * second);
  request("FLUSH", std::nullopt);
  const std::vector<Finding> found = find_stalls(devices);
  ASSERT_EQ(1u, found.size());
  EXPECT_EQ("1 request to sda is on the way for long, the oldest, WRITE, for 45 s", found[0].title);
}

TEST(Stalls, RankedByHowSevereTheyAre) {
  std::vector<Finding> findings(3);
  findings[0].severity = "info";
  findings[1].severity = "warning";
  findings[2].severity = "critical";
  rank(findings);
  EXPECT_EQ("critical", findings[0].severity);
  EXPECT_EQ("info", findings[2].severity);
}

// What the report keeps is what findings point into.
TEST(Activity, OnlyWhatWaited) {
  Timers timers;
  timers.cpus.resize(3);
  timers.cpus[1].cpu = 1;
  timers.cpus[1].timers.resize(4);
  timers.cpus[1].timers[0].overdue = true;
  timers.cpus[1].timers[0].due_ns = -second / 10;
  timers.cpus[1].timers[1].overdue = true;
  timers.cpus[1].timers[1].due_ns = -5 * second;
  timers.cpus[2].timers.resize(1);
  timers = overdue_only(std::move(timers));
  ASSERT_EQ(1u, timers.cpus.size());
  EXPECT_EQ(1u, timers.cpus[0].cpu);
  EXPECT_EQ(1u, timers.cpus[0].timers.size());
  EXPECT_EQ(std::vector<std::string>{"/activity/overdue_timers/0"}, find_stalls(timers).at(0).evidence);

  WorkQueues works;
  works.queues.resize(2);
  works.pools.resize(4);
  works.pools[1].pending.resize(1);
  works.pools[1].stalled = true;
  works.pools[1].idle_since_ns = 40 * second;
  works.pools[3].busy.resize(1);
  works = working_only(std::move(works));
  EXPECT_EQ(2u, works.pools.size());
  EXPECT_TRUE(works.queues.empty());
  EXPECT_EQ(std::vector<std::string>{"/activity/worker_pools/0"}, find_stalls(works).at(0).evidence);

  Devices devices;
  devices.disks.resize(3);
  devices.disks[2].requests.resize(1);
  devices.disks[2].requests[0].age_ns = 60 * second;
  devices = with_requests_only(std::move(devices));
  ASSERT_EQ(1u, devices.disks.size());
  EXPECT_EQ(std::vector<std::string>{"/activity/disks/0"}, find_stalls(devices).at(0).evidence);
}

}  // namespace
}  // namespace kdk
