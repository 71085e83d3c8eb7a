// Timers, workqueues and wait queues over small kernels made for them.
#include "analyze/inspect/timers.h"

#include <gtest/gtest.h>

#include "analyze/inspect/wait_queue.h"
#include "analyze/inspect/workqueues.h"
#include "core/base/error.h"
#include "tests/support/object_machine.h"

namespace kdk {
namespace {

using test::ObjectMachine;

constexpr uint64_t second = 1'000'000'000, tick = 4'000'000;

// Ten seconds after boot, 250 ticks a second.
void set_clock(ObjectMachine& m) {
  m.structure("clocksource", {{"mult", "u32"}, {"shift", "u32"}});
  const VirtAddr source = m.variable("clocksource_jiffies", "clocksource");
  m.set(source, "clocksource", "mult", tick << 8);
  m.set(source, "clocksource", "shift", 8);
  m.machine.put_u64(m.variable("jiffies_64", "u64"), 100'000);
  m.machine.put_u64(m.variable("last_jiffies_update", "u64"), 10 * second);
}

void describe_works(ObjectMachine& m) {
  m.structure("timer_list",
              {{"entry", "hlist_node"}, {"expires", "u64"}, {"function", "void *"}, {"flags", "u32"}});
  m.structure("work_struct", {{"data", "u64"}, {"entry", "list_head"}, {"func", "void *"}});
  m.structure("delayed_work", {{"work", "work_struct"}, {"timer", "timer_list"}});
}

class TimerTest : public testing::Test {
 protected:
  TimerTest() {
    set_clock(m);
    describe_works(m);
    test::describe_tasks(m);
    m.structure("process_timer", {{"timer", "timer_list"}, {"task", "task_struct *"}});
    m.structure("timer_base", {{"running_timer", "timer_list *"}, {"vectors", "hlist_head[576]"}});
    m.structure("timerqueue_node", {{"node", "rb_node"}, {"expires", "u64"}});
    m.structure("timerqueue_head", {{"rb_root", "rb_root_cached"}});
    m.structure("hrtimer", {{"node", "timerqueue_node"}, {"function", "void *"}});
    m.structure("hrtimer_sleeper", {{"timer", "hrtimer"}, {"task", "task_struct *"}});
    m.structure("hrtimer_clock_base", {{"clockid", "u32"}, {"active", "timerqueue_head"}, {"offset", "u64"}});
    m.structure("hrtimer_cpu_base", {{"clock_base", "hrtimer_clock_base[4]"}});
    m.enumeration("hrtimer_base_type", {{"HRTIMER_BASE_MONOTONIC", 0}, {"HRTIMER_BASE_MONOTONIC_SOFT", 2}});
    m.per_cpu("timer_bases", "timer_base[2]");
    m.per_cpu("hrtimer_bases", "hrtimer_cpu_base");
    for (unsigned cpu = 0; cpu < 2; ++cpu) {
      for (unsigned i = 0; i < 4; ++i)
        hr(cpu, i, "clockid", i % 2 == 0 ? 1 : 0);  // monotonic, realtime, and both soft
      hr(cpu, 1, "offset", 1000 * second);
    }
  }
  VirtAddr base(unsigned cpu, unsigned index) {
    return m.on_cpu("timer_bases", cpu) + index * m.size("timer_base");
  }
  void hr(unsigned cpu, unsigned index, const std::string& field, uint64_t value) {
    m.set(m.on_cpu("hrtimer_bases", cpu), "hrtimer_cpu_base",
          "clock_base[" + std::to_string(index) + "]." + field, value);
  }
  VirtAddr bucket(unsigned cpu, unsigned index, unsigned bucket) {
    return m.at(base(cpu, index), "timer_base", "vectors[" + std::to_string(bucket) + "]");
  }
  VirtAddr hr_root(unsigned cpu, unsigned index) {
    return m.at(m.on_cpu("hrtimer_bases", cpu), "hrtimer_cpu_base",
                "clock_base[" + std::to_string(index) + "].active.rb_root.rb_root");
  }
  VirtAddr timer(uint64_t expires, VirtAddr function) {
    const VirtAddr at = m.object("timer_list");
    m.set(at, "timer_list", "expires", expires);
    m.set(at, "timer_list", "function", function.value);
    return at;
  }
  VirtAddr hrtimer(VirtAddr at, uint64_t expires, VirtAddr function) {
    m.set(at, "hrtimer", "node.expires", expires);
    m.set(at, "hrtimer", "function", function.value);
    return at;
  }
  Timers read() {
    m.open();
    return read_timers(m.types(), {});
  }
  ObjectMachine m;
};

TEST_F(TimerTest, BothKindsInOrderOfWhatIsDue) {
  const VirtAddr function = m.function("a_timer"), wakeup = m.function("hrtimer_wakeup"),
                 delayed = m.function("delayed_work_timer_fn"), work = m.function("a_work");
  const VirtAddr sleeper = m.object("hrtimer_sleeper"), task = test::put_task(m, 7, "sleeper", 1);
  hrtimer(sleeper, 13 * second, wakeup);
  m.set(sleeper, "hrtimer_sleeper", "task", task.value);
  const VirtAddr real = hrtimer(m.object("hrtimer"), 1000 * second + 11 * second, function);
  m.tree(hr_root(0, 0), {sleeper});
  m.tree(hr_root(0, 1), {real});
  const VirtAddr plain = timer(100'000 + 500, function);  // in two seconds
  const VirtAddr item = m.object("delayed_work");
  const VirtAddr item_timer = m.at(item, "delayed_work", "timer");
  m.set(item_timer, "timer_list", "expires", 100'250);
  m.set(item_timer, "timer_list", "function", delayed.value);
  m.set(item, "delayed_work", "work.func", work.value);
  m.chain(bucket(0, 0, 70), {plain, item_timer});
  const Timers found = read();
  EXPECT_TRUE(found.problems.empty());
  EXPECT_EQ(tick, found.clock.tick_ns);
  EXPECT_EQ(10 * second, found.clock.monotonic_ns);
  ASSERT_EQ(2u, found.cpus.size());
  EXPECT_TRUE(found.cpus[1].timers.empty());
  const auto& timers = found.cpus[0].timers;
  ASSERT_EQ(4u, timers.size());
  for (const PendingTimer& one : timers) EXPECT_FALSE(one.overdue);
  EXPECT_EQ(int64_t{1'000'000'000}, timers[0].due_ns);
  EXPECT_EQ(int64_t{1'000'000'000}, timers[1].due_ns);
  EXPECT_EQ("a_work", timers[0].high_resolution ? timers[1].work : timers[0].work);
  const PendingTimer& on_real_time = timers[0].high_resolution ? timers[0] : timers[1];
  EXPECT_EQ("realtime", on_real_time.base);
  EXPECT_EQ("standard", timers[2].base);
  EXPECT_EQ("a_timer", timers[2].function);
  EXPECT_EQ(int64_t{2'000'000'000}, timers[2].due_ns);
  EXPECT_EQ("monotonic", timers[3].base);
  ASSERT_TRUE(timers[3].task);
  EXPECT_EQ("sleeper", timers[3].task->task.comm);
}

TEST_F(TimerTest, WhatIsLateByMoreThanItsClock) {
  const VirtAddr function = m.function("late");
  m.chain(bucket(1, 0, 3), {timer(100'000 - 2, function)});    // two ticks: those of the last moment
  m.chain(bucket(1, 0, 64), {timer(100'000 - 10, function)});  // one level up: eight ticks are allowed
  m.chain(bucket(1, 0, 5), {timer(100'000 - 700, function)});  // 2.8 s
  m.chain(bucket(1, 1, 5), {timer(100'000 - 700, function)});  // deferrable
  m.tree(hr_root(1, 2), {hrtimer(m.object("hrtimer"), 10 * second - 5 * second, function)});
  const Timers found = read();
  const CpuTimers& cpu = found.cpus[1];
  ASSERT_EQ(5u, cpu.timers.size());
  EXPECT_EQ("monotonic soft", cpu.timers[0].base);
  EXPECT_TRUE(cpu.timers[0].overdue);
  EXPECT_EQ(-int64_t{5'000'000'000}, cpu.timers[0].due_ns);
  size_t overdue = 0;
  for (const PendingTimer& one : cpu.timers) overdue += one.overdue ? 1 : 0;
  EXPECT_EQ(2u, overdue);
}

TEST_F(TimerTest, CyclesAndNonsenseEnd) {
  const VirtAddr one = timer(100'100, VirtAddr{0x1234}), two = timer(~uint64_t{0}, m.function("f"));
  m.chain(bucket(0, 0, 1), {one, two});
  m.machine.put_u64(two, one.value);
  m.machine.put_u64(bucket(0, 0, 9), 0xdead000000000122);
  const VirtAddr node = hrtimer(m.object("hrtimer"), ~uint64_t{0} >> 1, VirtAddr{});
  m.tree(hr_root(0, 0), {node});
  m.machine.put_u64(node + 8, node.value);
  const Timers found = read();
  EXPECT_GE(found.problems.size(), 3u);
  bool never = false;
  for (const PendingTimer& timer : found.cpus[0].timers)
    never = never || (timer.high_resolution && !timer.due_ns);
  EXPECT_TRUE(never) << "KTIME_MAX is no time";
}

TEST(Timers, WithoutAClockTimesAreNotGuessed) {
  ObjectMachine m;
  m.machine.put_u64(m.variable("jiffies_64", "u64"), 5);
  m.open();
  const KernelClock clock = read_kernel_clock(m.kernel());
  EXPECT_FALSE(clock.tick_ns);
  EXPECT_FALSE(clock.monotonic_ns);
  EXPECT_FALSE(clock.jiffies_ns(3));
  EXPECT_THROW(read_timers(m.types(), {}), Error);
  KernelClock odd;
  odd.tick_ns = tick;
  EXPECT_FALSE(odd.jiffies_ns(INT64_MAX));
  EXPECT_EQ(-int64_t{8'000'000}, odd.jiffies_ns(-2));
}

class WorkTest : public testing::Test {
 protected:
  WorkTest() {
    set_clock(m);
    describe_works(m);
    test::describe_tasks(m);
    m.structure("xarray", {{"xa_flags", "u64"}, {"xa_head", "void *"}});
    m.structure("xa_node", {{"shift", "u8"}, {"slots", "void *[4]"}});
    m.structure("idr", {{"idr_rt", "xarray"}});
    m.structure("workqueue_attrs", {{"nice", "s32"}});
    m.structure("worker_pool", {{"cpu", "s32"},
                                {"id", "s32"},
                                {"flags", "u32"},
                                {"watchdog_ts", "u64"},
                                {"worklist", "list_head"},
                                {"nr_workers", "s32"},
                                {"nr_idle", "s32"},
                                {"busy_hash", "hlist_head[4]"},
                                {"attrs", "workqueue_attrs *"}});
    m.structure("workqueue_struct", {{"pwqs", "list_head"},
                                     {"list", "list_head"},
                                     {"max_active", "s32"},
                                     {"flags", "u32"},
                                     {"rescuer", "worker *"},
                                     {"name", "char[24]"}});
    m.structure("pool_workqueue", {{"pool", "worker_pool *"},
                                   {"wq", "workqueue_struct *"},
                                   {"nr_active", "s32"},
                                   {"inactive_works", "list_head"},
                                   {"pwqs_node", "list_head"}});
    m.structure("worker", {{"hentry", "hlist_node"},
                           {"current_work", "work_struct *"},
                           {"current_func", "void *"},
                           {"current_pwq", "pool_workqueue *"},
                           {"scheduled", "list_head"},
                           {"task", "task_struct *"},
                           {"rescue_wq", "workqueue_struct *"}});
    pools = m.variable("worker_pool_idr", "idr");
    queues = m.variable("workqueues", "list_head");
    queue = m.object("workqueue_struct");
    link = m.machine.alloc(m.size("pool_workqueue"), 256);
    pool = m.object("worker_pool");
    m.machine.put_text(m.at(queue, "workqueue_struct", "name"), "events");
    m.machine.put_list(queues, {m.at(queue, "workqueue_struct", "list")});
    m.machine.put_list(m.at(queue, "workqueue_struct", "pwqs"), {m.at(link, "pool_workqueue", "pwqs_node")});
    m.machine.put_list(m.at(link, "pool_workqueue", "inactive_works"), {});
    m.set(link, "pool_workqueue", "wq", queue.value);
    m.set(link, "pool_workqueue", "nr_active", 2);
    m.set(queue, "workqueue_struct", "max_active", 256);
    m.set(pool, "worker_pool", "cpu", 1);
    m.set(pool, "worker_pool", "id", 2);
    m.set(pool, "worker_pool", "watchdog_ts", 100'000);
    m.machine.put_list(m.at(pool, "worker_pool", "worklist"), {});
    const VirtAddr node = m.object("xa_node");
    m.machine.put_u64(m.at(pools, "idr", "idr_rt.xa_head"), node.value | 2);
    m.set(node, "xa_node", "slots[2]", pool.value);
  }
  VirtAddr work(const std::string& function) {
    const VirtAddr at = m.object("work_struct");
    m.set(at, "work_struct", "func", m.function(function).value);
    m.set(at, "work_struct", "data", link.value | 5);  // queued, pending
    return at;
  }
  WorkQueues read() {
    m.open();
    return read_workqueues(m.types(), {});
  }
  ObjectMachine m;
  VirtAddr pools, queues, queue, link, pool;
};

TEST_F(WorkTest, BusyAndPending) {
  const VirtAddr worker = m.object("worker"), task = test::put_task(m, 12, "kworker/1:0", 2),
                 doing = work("busy_with");
  m.set(worker, "worker", "current_work", doing.value);
  m.set(worker, "worker", "current_func", m.function("busy_function").value);
  m.set(worker, "worker", "current_pwq", link.value);
  m.set(worker, "worker", "task", task.value);
  m.machine.put_list(m.at(worker, "worker", "scheduled"), {});
  m.chain(m.at(pool, "worker_pool", "busy_hash[3]"), {worker});
  const VirtAddr cursor = work("mayday_cursor_func"), waits = work("waits"), held = work("held_back");
  m.machine.put_list(m.at(pool, "worker_pool", "worklist"),
                     {m.at(cursor, "work_struct", "entry"), m.at(waits, "work_struct", "entry")});
  m.machine.put_list(m.at(link, "pool_workqueue", "inactive_works"), {m.at(held, "work_struct", "entry")});
  m.set(pool, "worker_pool", "watchdog_ts", 100'000 - 31 * 250);
  const WorkQueues found = read();
  EXPECT_TRUE(found.problems.empty());
  ASSERT_EQ(1u, found.pools.size());
  const WorkerPool& one = found.pools[0];
  EXPECT_EQ(2, one.id);
  EXPECT_EQ(1u, one.cpu);
  ASSERT_EQ(1u, one.busy.size());
  EXPECT_EQ("busy_function", one.busy[0].work.function);
  EXPECT_EQ("events", one.busy[0].work.workqueue);
  EXPECT_EQ("kworker/1:0", one.busy[0].task->task.comm);
  ASSERT_EQ(1u, one.pending.size()) << "the mark of a rescuer is no work";
  EXPECT_EQ("waits", one.pending[0].function);
  EXPECT_EQ("events", one.pending[0].workqueue);
  EXPECT_TRUE(one.stalled);
  EXPECT_EQ(int64_t{31} * 1'000'000'000, one.idle_since_ns);
  ASSERT_EQ(1u, found.queues.size());
  EXPECT_EQ(2, found.queues[0].active);
  ASSERT_EQ(1u, found.queues[0].inactive.size());
  EXPECT_EQ("held_back", found.queues[0].inactive[0].function);
  // The threshold is the kernel's own, where it says one.
  m.machine.put_u64(m.variable("wq_watchdog_thresh", "u64"), 60);
  EXPECT_FALSE(read().pools[0].stalled);
}

TEST_F(WorkTest, APoolWithoutWorkIsNotStalled) {
  m.set(pool, "worker_pool", "watchdog_ts", 1);
  const WorkQueues found = read();
  EXPECT_FALSE(found.pools[0].stalled);
  EXPECT_FALSE(found.pools[0].idle_since_ns);
}

TEST_F(WorkTest, BrokenListsAreNamed) {
  const VirtAddr one = work("one"), two = work("two");
  m.machine.put_list(m.at(pool, "worker_pool", "worklist"),
                     {m.at(one, "work_struct", "entry"), m.at(two, "work_struct", "entry")});
  m.machine.put_u64(m.at(two, "work_struct", "entry"), m.at(one, "work_struct", "entry").value);
  m.machine.put_u64(m.at(pool, "worker_pool", "busy_hash[0]"), 0xdead000000000100);
  m.machine.put_u64(m.at(queue, "workqueue_struct", "list"), 0);
  const WorkQueues found = read();
  EXPECT_GE(found.problems.size(), 3u);
  EXPECT_EQ(1u, found.pools.size());
}

class WaitTest : public testing::Test {
 protected:
  WaitTest() {
    test::describe_tasks(m);
    m.structure("wait_queue_head", {{"lock", "u32"}, {"head", "list_head"}});
    m.structure("wait_queue_entry",
                {{"flags", "u32"}, {"private", "void *"}, {"func", "void *"}, {"entry", "list_head"}});
    m.structure("swait_queue_head", {{"lock", "u32"}, {"task_list", "list_head"}});
    m.structure("swait_queue", {{"task", "task_struct *"}, {"task_list", "list_head"}});
    m.structure("poll_wqueues", {{"polling_task", "task_struct *"}});
    init = m.variable("init_task", "task_struct");
    head = m.variable("a_queue", "wait_queue_head");
  }
  VirtAddr task(int32_t pid, const std::string& comm) {
    const VirtAddr at = test::put_task(m, pid, comm, 1);
    tasks.push_back(m.at(at, "task_struct", "tasks"));
    const VirtAddr group = m.object("signal_struct");
    m.machine.put_list(group, {m.at(at, "task_struct", "thread_node")});
    m.set(at, "task_struct", "signal", group.value);
    return at;
  }
  VirtAddr entry(const std::string& function, VirtAddr private_data, uint64_t flags = 0) {
    const VirtAddr at = m.object("wait_queue_entry");
    m.set(at, "wait_queue_entry", "flags", flags);
    m.set(at, "wait_queue_entry", "private", private_data.value);
    m.set(at, "wait_queue_entry", "func", m.function(function).value);
    return m.at(at, "wait_queue_entry", "entry");
  }
  WaitQueue read(VirtAddr at, bool simple = false) {
    m.machine.put_list(m.at(init, "task_struct", "tasks"), tasks);
    m.open();
    return read_wait_queue(m.types(), at, simple, {}, problems);
  }
  ObjectMachine m;
  VirtAddr init, head;
  std::vector<VirtAddr> tasks;
  std::vector<std::string> problems;
};

TEST_F(WaitTest, TasksThatPollAndWhatIsNoTask) {
  const VirtAddr one = task(5, "waiter"), two = task(6, "poller"), polling = m.object("poll_wqueues");
  m.set(polling, "poll_wqueues", "polling_task", two.value);
  const VirtAddr other = m.object("poll_wqueues");
  m.machine.put_list(m.at(head, "wait_queue_head", "head"),
                     {entry("autoremove_wake_function", one, 1), entry("pollwake", polling),
                      entry("ep_poll_callback", other), entry("autoremove_wake_function", VirtAddr{0x10})});
  const WaitQueue found = read(head);
  EXPECT_TRUE(problems.empty());
  ASSERT_EQ(4u, found.entries.size());
  EXPECT_EQ("waiter", found.entries[0].task->task.comm);
  EXPECT_TRUE(found.entries[0].exclusive);
  EXPECT_EQ("poller", found.entries[1].task->task.comm);
  EXPECT_EQ("pollwake", found.entries[1].function);
  EXPECT_FALSE(found.entries[2].task);
  EXPECT_FALSE(found.entries[3].task);
}

TEST_F(WaitTest, ASimpleQueue) {
  const VirtAddr one = task(5, "waiter"), at = m.object("swait_queue_head"), waiter = m.object("swait_queue");
  m.set(waiter, "swait_queue", "task", one.value);
  m.machine.put_list(m.at(at, "swait_queue_head", "task_list"), {m.at(waiter, "swait_queue", "task_list")});
  const WaitQueue found = read(at, true);
  ASSERT_EQ(1u, found.entries.size());
  EXPECT_EQ("waiter", found.entries[0].task->task.comm);
}

TEST_F(WaitTest, WhatIsNoQueueIsRefused) {
  EXPECT_THROW(read(VirtAddr{0xffff000000000040}), Error);
  EXPECT_THROW(read(m.object("wait_queue_head")), Error) << "zeros";
  const VirtAddr lone = entry("f", VirtAddr{});
  m.machine.put_list(m.at(head, "wait_queue_head", "head"), {lone, entry("f", VirtAddr{})});
  m.machine.put_u64(lone, 0xdead000000000100);
  EXPECT_EQ(1u, read(head).entries.size());
  EXPECT_FALSE(problems.empty());
}

}  // namespace
}  // namespace kdk
