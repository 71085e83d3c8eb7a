// Worker pools: which workers were busy with what, what waited, and which pools went nowhere.
// Source: kernel/workqueue.c, kernel/workqueue_internal.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "analyze/inspect/kernel_clock.h"
#include "analyze/inspect/one_task.h"
#include "core/kernel/typed_memory.h"

namespace kdk {

struct QueuedWork {
  uint64_t address = 0;   // struct work_struct
  std::string function;   // escaped
  std::string workqueue;  // its name; escaped; empty: unknown
};

struct BusyWorker {
  uint64_t address = 0;  // struct worker
  std::optional<StackOwner> task;
  QueuedWork work;  // that it is doing; without an address: none is known
  bool rescuer = false;
  size_t scheduled = 0;  // works that it is to do next
};

struct WorkerPool {
  uint64_t address = 0;  // struct worker_pool
  int64_t id = 0;
  std::optional<unsigned> cpu;  // nullopt: unbound
  std::optional<int64_t> nice;
  bool bh = false;  // runs in softirq context
  std::optional<int64_t> workers, idle_workers;
  std::vector<BusyWorker> busy;
  std::vector<QueuedWork> pending;
  // Since the pool took up a work last; counts only where works are pending.
  std::optional<int64_t> idle_since_ns;
  bool stalled = false;  // by the kernel's own measure (wq_watchdog_thresh), or 30 s
};

struct WorkQueue {
  uint64_t address = 0;  // struct workqueue_struct
  std::string name;      // escaped
  std::optional<uint64_t> flags;
  std::optional<int64_t> max_active;
  int64_t active = 0;                // works on pools, of all CPUs
  std::vector<QueuedWork> inactive;  // held back by max_active
  std::optional<StackOwner> rescuer;
};

struct WorkQueues {
  KernelClock clock;
  std::vector<WorkerPool> pools;  // by id
  std::vector<WorkQueue> queues;  // in the kernel's order
  std::vector<std::string> problems;
};

// Throws Error{missing} when the pools cannot be found.
WorkQueues read_workqueues(TypedMemory& types, const KernelLog& log);

}  // namespace kdk
