// The task list: every process and thread the scheduler knew, as `ps -eL` counts them (idle tasks are not
// among them). Source: include/linux/sched.h (struct task_struct), include/linux/sched/signal.h
// (for_each_process_thread).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/kernel/kernel.h"

namespace kdk {

struct Task {
  uint64_t address = 0;  // struct task_struct
  // nullopt or empty: that field could not be read, or its place is not known.
  std::optional<int32_t> pid, tgid, ppid;
  std::string comm;                    // escaped
  char state = '?';                    // the letter ps shows: R S D T t X Z P I; '?' unknown
  std::optional<uint64_t> state_bits;  // task_struct.__state as it stands
  std::optional<unsigned> cpu;         // where it runs or ran last
  bool kernel_thread = false;          // PF_KTHREAD
  std::optional<bool> on_cpu;          // running at the moment of the crash; nullopt when not recorded
};

struct TaskList {
  std::vector<Task> tasks;            // in list order: each thread group leader followed by its threads
  uint64_t processes = 0;             // thread group leaders in `tasks`
  bool heuristic = false;             // init_task was found by its content, not by a symbol
  bool complete = false;              // the whole list was walked
  bool damaged = false;               // it was not, and corruption (not a filtered page) is the reason
  std::string why_not;                // set when nothing could be listed
  std::vector<std::string> problems;  // sentences: walks that ended early, tasks that could not be read
};

// Walks the list from init_task. Never throws. Needs `init_task` (or finds it by content) and layouts.
TaskList read_tasks(Kernel& kernel);

// One of them, or an idle task, which is in no list; what cannot be read is absent. Throws Error{missing}
// without a layout.
Task read_task(Kernel& kernel, VirtAddr at);

// Letter for task_struct.__state | exit_state, as fs/proc/array.c prints it.
char task_state_letter(uint64_t state, uint64_t exit_state);
// "running", "sleeping", "uninterruptible", ... for a letter of task_state_letter().
std::string_view task_state_name(char letter);

}  // namespace kdk
