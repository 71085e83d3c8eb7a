// The run queues: what each CPU was running, what waited for it, in which class and for how long.
//
// Fair tasks hang on a tree of entities, a level for each task group, and what runs is taken out of its tree;
// real-time tasks on a list for each priority; deadline tasks on a tree. All are read from the queues
// themselves, not from the task list: a task that should run and is on no queue, or on a wrong one, shows.
// Source: kernel/sched/sched.h, fair.c, rt.c, deadline.c.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "analyze/inspect/one_task.h"
#include "core/kernel/typed_memory.h"

namespace kdk {

enum class SchedulerClass : uint8_t { stop, deadline, realtime, fair, extension };
std::string_view to_string(SchedulerClass which);  // "stop", "deadline", "realtime", "fair", "ext"

struct QueuedTask {
  SchedulerClass scheduler = SchedulerClass::fair;
  StackOwner owner;
  std::optional<uint64_t> queued_ns;    // since it was put on the queue, or taken off the CPU
  std::optional<int32_t> priority;      // realtime: of its list, 0 (highest) to 99
  std::optional<uint64_t> vruntime_ns;  // fair
  std::optional<uint64_t> deadline_ns;  // fair: in virtual time, since EEVDF; deadline: on the CPU's clock
  unsigned depth = 0;                   // fair: task groups that it is in
  bool delayed = false;                 // fair: it sleeps, and is to be taken off the queue
};

struct RunQueue {
  unsigned cpu = 0;
  bool online = true;
  uint64_t address = 0;              // struct rq
  std::optional<uint64_t> running;   // rq.nr_running: tasks that run or want to
  std::optional<uint64_t> clock_ns;  // rq.clock: when the queue was looked at last
  std::optional<uint64_t> iowait;    // tasks that began to wait for I/O here
  std::optional<StackOwner> current;
  bool idle = false;               // what runs is the idle task
  bool throttled = false;          // real-time tasks had used up their share
  std::vector<QueuedTask> queued;  // without what runs; in the order of the classes and of their queues
};

struct RunQueues {
  std::vector<RunQueue> cpus;  // possible ones
  std::optional<CrashClock> clock;
  std::vector<std::string> problems;  // sentences: queues that could not be followed to their end
};

// Throws Error{missing} when there is no run queue to read.
RunQueues read_run_queues(TypedMemory& types, const KernelLog& log);

}  // namespace kdk
