// What `ps` tells of the tasks beyond the task list itself: memory, times, scheduling. One table for the
// command and for whoever asks when a task ran last.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/kernel/kernel.h"
#include "core/kernel/printk.h"
#include "core/kernel/tasks.h"

namespace kdk {

struct ProcessFacts {
  // nullopt: not known on this kernel, could not be read, or (memory) a task without user memory.
  std::optional<uint64_t> mm;  // struct mm_struct; 0: none, a kernel thread or one that exits
  std::optional<uint64_t> vsz_bytes, rss_bytes;  // as ps(1)
  std::optional<uint64_t> swap_bytes;
  std::optional<uint64_t> last_run_ns;   // scheduler clock when it was last put on a CPU, or ran last
  std::optional<uint64_t> since_run_ns;  // from then to the crash; 0 for one that was on a CPU
  std::optional<uint64_t> start_ns;      // since boot, time in suspend counted
  std::optional<uint64_t> runtime_ns;    // on a CPU, user and kernel
  std::optional<int32_t> priority;       // task_struct.prio: 0 to 99 real time, 100 to 139 nice -20 to 19
  std::optional<int32_t> nice;
  std::string policy;  // "other", "fifo", "rr", "batch", "idle", "deadline", "ext"; empty: unknown
  std::optional<uint64_t> voluntary_switches, involuntary_switches;
};

// The newest moment that the dump knows of, on the clock of the scheduler and of log time stamps.
struct CrashClock {
  uint64_t ns = 0;
  std::string source;  // "run queue of CPU 1", "log"
};
// `log` may be empty. nullopt when neither a run queue nor the log tells.
std::optional<CrashClock> crash_clock(Kernel& kernel, const KernelLog& log);

struct ProcessTable {
  TaskList list;
  std::vector<ProcessFacts> facts;  // of list.tasks, same order
  std::optional<CrashClock> clock;
  std::string last_run_source;       // "sched_info.last_arrival", "se.exec_start"; empty: unknown
  std::vector<std::string> missing;  // sentences: columns that this kernel or dump does not tell
};
// Reads the list and the facts. Never throws.
ProcessTable read_processes(Kernel& kernel, const KernelLog& log);
// The facts of a list that was read before.
ProcessTable complete_processes(Kernel& kernel, TaskList list, const KernelLog& log);

// Which tasks are asked for; what is empty does not restrict.
struct TaskFilter {
  std::string states = {};              // letters of task_state_letter()
  std::vector<int32_t> pids = {};       // threads' or processes'
  std::vector<std::string> names = {};  // parts of the name, each case as written
  bool leaders = false;                 // one row per process
  bool user = false, kernel = false;    // only user tasks, only kernel threads
};
bool matches(const Task& task, const TaskFilter& filter);

enum class TaskOrder : uint8_t { list, pid, rss, vsz, last_run, runtime, cpu, name };
// nullopt for an unknown word. "last" puts those first that have not run for longest.
std::optional<TaskOrder> task_order(std::string_view word);

struct TaskRow {
  size_t index = 0;    // into list.tasks
  unsigned depth = 0;  // in the tree
};
// The rows asked for, sorted; what is unknown comes last.
std::vector<TaskRow> select_tasks(const ProcessTable& table, const TaskFilter& filter, TaskOrder order);
// Parents before their children, threads before child processes. What matches the filter and all its
// ancestors; a parent that is not in the list makes a root. Cycles in a damaged list end.
std::vector<TaskRow> task_tree(const ProcessTable& table, const TaskFilter& filter);

// The answer of `ps`.
struct ProcessListing {
  ProcessTable table;
  std::vector<TaskRow> rows;
  bool tree = false;
};

}  // namespace kdk
