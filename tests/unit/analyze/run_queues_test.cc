#include "analyze/inspect/run_queues.h"

#include <gtest/gtest.h>

#include "core/base/error.h"
#include "tests/support/object_machine.h"

namespace kdk {
namespace {

using test::ObjectMachine;

class Queues : public testing::Test {
 protected:
  Queues() {
    m.structure("sched_entity", {{"run_node", "rb_node"},
                                 {"sched_delayed", "u8"},
                                 {"sum_exec_runtime", "u64"},
                                 {"exec_start", "u64"},
                                 {"vruntime", "u64"},
                                 {"deadline", "u64"},
                                 {"my_q", "cfs_rq *"}});
    m.structure("sched_rt_entity", {{"run_list", "list_head"}});
    m.structure("sched_dl_entity", {{"rb_node", "rb_node"}, {"deadline", "u64"}, {"dl_server", "u32:1"}});
    m.structure("cfs_rq", {{"tasks_timeline", "rb_root_cached"}, {"curr", "sched_entity *"}});
    m.structure("rt_prio_array", {{"queue", "list_head[100]"}});
    m.structure("rt_rq", {{"active", "rt_prio_array"}, {"rt_throttled", "s32"}});
    m.structure("dl_rq", {{"root", "rb_root_cached"}});
    m.structure("sched_info", {{"last_arrival", "u64"}, {"last_queued", "u64"}});
    test::describe_tasks(m, {{"se", "sched_entity"},
                             {"rt", "sched_rt_entity"},
                             {"dl", "sched_dl_entity"},
                             {"sched_info", "sched_info"},
                             {"on_rq", "s32"}});
    m.structure("rq", {{"nr_running", "u32"},
                       {"clock", "u64"},
                       {"nr_iowait", "u32"},
                       {"curr", "task_struct *"},
                       {"idle", "task_struct *"},
                       {"stop", "task_struct *"},
                       {"cfs", "cfs_rq"},
                       {"rt", "rt_rq"},
                       {"dl", "dl_rq"}});
    m.per_cpu("runqueues", "rq");
    for (unsigned cpu = 0; cpu < 2; ++cpu) {
      const VirtAddr idle = test::put_task(m, 0, "swapper/" + std::to_string(cpu));
      set(cpu, "idle", idle.value);
      set(cpu, "curr", idle.value);
      set(cpu, "clock", 5'000'000'000);
      for (int i = 0; i < 100; ++i)
        m.machine.put_list(in(cpu, "rt.active.queue[" + std::to_string(i) + "]"), {});
    }
  }

  VirtAddr in(unsigned cpu, const std::string& path) { return m.at(m.on_cpu("runqueues", cpu), "rq", path); }
  void set(unsigned cpu, const std::string& path, uint64_t value) {
    m.set(m.on_cpu("runqueues", cpu), "rq", path, value);
  }
  VirtAddr task(int32_t pid, uint64_t arrival = 0) {
    const VirtAddr at = test::put_task(m, pid, "task-" + std::to_string(pid));
    m.set(at, "task_struct", "sched_info.last_arrival", arrival);
    return at;
  }
  VirtAddr node(VirtAddr task) { return m.at(task, "task_struct", "se.run_node"); }
  RunQueues read() {
    m.open();
    return read_run_queues(m.types(), {});
  }
  static std::vector<int32_t> pids(const RunQueue& queue) {
    std::vector<int32_t> out;
    for (const QueuedTask& task : queue.queued) out.push_back(task.owner.task.pid.value_or(-1));
    return out;
  }

  ObjectMachine m;
};

TEST_F(Queues, AnIdleMachine) {
  const RunQueues found = read();
  EXPECT_TRUE(found.problems.empty());
  ASSERT_EQ(2u, found.cpus.size());
  for (const RunQueue& queue : found.cpus) {
    EXPECT_TRUE(queue.idle);
    EXPECT_TRUE(queue.queued.empty());
    ASSERT_TRUE(queue.current);
    EXPECT_EQ("swapper/" + std::to_string(queue.cpu), queue.current->task.comm);
  }
}

TEST_F(Queues, EachClassInItsOrder) {
  const VirtAddr running = task(10), fair_one = task(11, 2'000'000'000), fair_two = task(12),
                 delayed = task(13), high = task(20), low = task(21), deadline = task(30);
  set(1, "curr", running.value);
  set(1, "nr_running", 6);
  m.set(fair_one, "task_struct", "sched_info.last_queued", 4'000'000'000);
  m.set(fair_one, "task_struct", "se.vruntime", 700'000);
  m.set(fair_one, "task_struct", "se.deadline", 900'000);
  m.set(delayed, "task_struct", "se.sched_delayed", 1);
  m.tree(in(1, "cfs.tasks_timeline.rb_root"), {node(fair_one), node(fair_two), node(delayed)});
  m.machine.put_list(in(1, "rt.active.queue[98]"), {m.at(low, "task_struct", "rt.run_list")});
  m.machine.put_list(in(1, "rt.active.queue[0]"), {m.at(high, "task_struct", "rt.run_list")});
  const VirtAddr server = m.object("sched_dl_entity");
  m.set(server, "sched_dl_entity", "dl_server", 1);
  m.set(deadline, "task_struct", "dl.deadline", 6'000'000);
  m.tree(in(1, "dl.root.rb_root"),
         {m.at(server, "sched_dl_entity", "rb_node"), m.at(deadline, "task_struct", "dl.rb_node")});
  const VirtAddr stopper = task(40), idle_stopper = task(41);
  set(1, "stop", stopper.value);
  set(0, "stop", idle_stopper.value);
  m.set(stopper, "task_struct", "on_rq", 1);
  const RunQueues found = read();
  EXPECT_TRUE(found.problems.empty());
  const RunQueue& queue = found.cpus[1];
  EXPECT_EQ(6u, queue.running);
  EXPECT_FALSE(queue.idle);
  EXPECT_EQ(10, queue.current->task.pid);
  EXPECT_EQ((std::vector<int32_t>{40, 30, 20, 21, 11, 12, 13}), pids(queue));
  EXPECT_EQ(SchedulerClass::stop, queue.queued[0].scheduler);
  EXPECT_EQ(SchedulerClass::deadline, queue.queued[1].scheduler);
  EXPECT_EQ(6'000'000u, queue.queued[1].deadline_ns);
  EXPECT_EQ(0, queue.queued[2].priority);
  EXPECT_EQ(98, queue.queued[3].priority);
  EXPECT_EQ(700'000u, queue.queued[4].vruntime_ns);
  EXPECT_EQ(900'000u, queue.queued[4].deadline_ns);
  EXPECT_EQ(3'000'000'000u, queue.queued[4].owner.since_run_ns);
  EXPECT_EQ(1'000'000'000u, queue.queued[4].queued_ns);
  EXPECT_FALSE(queue.queued[5].queued_ns);
  EXPECT_FALSE(queue.queued[5].delayed);
  EXPECT_TRUE(queue.queued[6].delayed);
  EXPECT_TRUE(found.cpus[0].queued.empty());
}

// What runs is in no tree, and so is the group that it is in; others of the group wait.
TEST_F(Queues, GroupsThatRunAndThatWait) {
  const VirtAddr running = task(10), beside = task(11), waiting = task(12);
  const VirtAddr group = m.object("cfs_rq"), other = m.object("cfs_rq");
  const VirtAddr entity = m.object("sched_entity"), other_entity = m.object("sched_entity");
  m.set(entity, "sched_entity", "my_q", group.value);
  m.set(other_entity, "sched_entity", "my_q", other.value);
  m.set(group, "cfs_rq", "curr", m.at(running, "task_struct", "se").value);
  m.tree(m.at(group, "cfs_rq", "tasks_timeline.rb_root"), {node(beside)});
  m.tree(m.at(other, "cfs_rq", "tasks_timeline.rb_root"), {node(waiting)});
  set(0, "cfs.curr", entity.value);
  set(0, "curr", running.value);
  m.tree(in(0, "cfs.tasks_timeline.rb_root"), {m.at(other_entity, "sched_entity", "run_node")});
  const RunQueues found = read();
  EXPECT_TRUE(found.problems.empty());
  EXPECT_EQ((std::vector<int32_t>{11, 12}), pids(found.cpus[0]));
  EXPECT_EQ(1u, found.cpus[0].queued[0].depth);
}

TEST_F(Queues, CyclesAndBrokenLinksEnd) {
  const VirtAddr one = task(11), two = task(12), lost = task(13);
  m.tree(in(0, "cfs.tasks_timeline.rb_root"), {node(one), node(two)});
  m.machine.put_u64(node(one) + 16, node(two).value);  // leads up again
  const VirtAddr entity = m.object("sched_entity");
  m.set(entity, "sched_entity", "my_q", in(1, "cfs").value);  // a group that is its own parent
  m.tree(in(1, "cfs.tasks_timeline.rb_root"), {m.at(entity, "sched_entity", "run_node")});
  m.machine.put_u64(in(1, "rt.active.queue[3]"), 0xdead000000000100);
  m.machine.put_list(in(1, "rt.active.queue[4]"), {m.at(lost, "task_struct", "rt.run_list")});
  m.machine.put_u64(m.at(lost, "task_struct", "rt.run_list"), 0);
  set(1, "curr", 0xffff800000000123);
  const RunQueues found = read();
  EXPECT_GE(found.problems.size(), 4u);
  EXPECT_EQ((std::vector<int32_t>{13}), pids(found.cpus[1]));
  EXPECT_FALSE(found.cpus[1].current->task.pid);
}

TEST_F(Queues, ATaskOnAPageThatIsNotThereIsNamed) {
  m.tree(in(0, "cfs.tasks_timeline.rb_root"), {VirtAddr{0xffff000000000040}});
  const RunQueues found = read();
  EXPECT_FALSE(found.problems.empty());
}

TEST(RunQueues, WithoutSymbolsOrTypesTheErrorSaysSo) {
  ObjectMachine m;
  m.open();
  EXPECT_THROW(read_run_queues(m.types(), {}), Error);
  m.per_cpu("runqueues", "u64");
  m.open();
  EXPECT_THROW(read_run_queues(m.types(), {}), Error);
}

}  // namespace
}  // namespace kdk
