#include "core/kernel/tasks.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <functional>
#include <unordered_set>

#include "core/base/log.h"
#include "core/kernel/init_task.h"

namespace kdk {
namespace {

// More tasks than Linux can number (PID_MAX_LIMIT, include/linux/threads.h): a longer list is a broken one.
constexpr size_t max_tasks = size_t{4} << 20;
constexpr size_t max_problems = 32;
constexpr size_t comm_length = 16;           // TASK_COMM_LEN
constexpr uint32_t pf_kthread = 0x00200000;  // PF_KTHREAD, include/linux/sched.h

// Where the fields are. Only `tasks` is indispensable; the others cost a column each.
struct Offsets {
  uint64_t tasks = 0;
  std::optional<uint64_t> pid, tgid, comm, flags, exit_state, on_cpu, cpu, real_parent, signal, thread_head,
      thread_node;
  std::optional<Layout::Field> state;
};

Offsets task_offsets(const Layout& layout) {
  Offsets o;
  o.tasks = layout.require_offset("task_struct", "tasks");
  o.pid = layout.offset("task_struct", "pid");
  o.tgid = layout.offset("task_struct", "tgid");
  o.comm = layout.offset("task_struct", "comm");
  o.flags = layout.offset("task_struct", "flags");
  o.exit_state = layout.offset("task_struct", "exit_state");
  o.on_cpu = layout.offset("task_struct", "on_cpu");
  o.real_parent = layout.offset("task_struct", "real_parent");
  // Linux commit 2f064a59a11f ("sched: Change task_struct::state") (in v5.14) renamed it and made it an int.
  o.state = layout.first_field("task_struct", {"__state", "state"});
  // Linux commit bcf9033e5449 ("sched: move CPU field back into thread_info if THREAD_INFO_IN_TASK=y") (in
  // v5.16).
  if (auto cpu = layout.first_field("task_struct", {"thread_info.cpu", "cpu"})) o.cpu = cpu->offset;
  // include/linux/sched/signal.h: all threads of a group hang on signal->thread_head by
  // task_struct.thread_node.
  o.signal = layout.offset("task_struct", "signal");
  o.thread_head = layout.offset("signal_struct", "thread_head");
  o.thread_node = layout.offset("task_struct", "thread_node");
  return o;
}

std::optional<int32_t> integer(KernelMemory& memory, VirtAddr base, std::optional<uint64_t> offset) {
  const auto value = offset ? memory.u32(base + *offset) : std::nullopt;
  return value ? std::optional(static_cast<int32_t>(*value)) : std::nullopt;
}

std::optional<uint64_t> widen(std::optional<uint32_t> value) {
  return value ? std::optional<uint64_t>(*value) : std::nullopt;
}

Task task_at(KernelMemory& memory, const Offsets& o, VirtAddr address) {
  const auto s32 = [&](VirtAddr base, std::optional<uint64_t> offset) {
    return integer(memory, base, offset);
  };
  Task task;
  task.address = address.value;
  task.pid = s32(address, o.pid);
  task.tgid = s32(address, o.tgid);
  if (o.comm) {
    if (auto comm = memory.string(address + *o.comm, comm_length)) task.comm = escape_untrusted(*comm);
  }
  if (auto flags = s32(address, o.flags))
    task.kernel_thread = (static_cast<uint32_t>(*flags) & pf_kthread) != 0;
  if (o.state) {
    // A long before v5.14, an unsigned int since; a source that does not tell the size is a new one.
    task.state_bits = o.state->size == 8 ? memory.u64(address + o.state->offset)
                                         : widen(memory.u32(address + o.state->offset));
  }
  if (task.state_bits) {
    auto exit_state = s32(address, o.exit_state);
    task.state = task_state_letter(*task.state_bits, exit_state ? static_cast<uint32_t>(*exit_state) : 0);
  }
  if (o.cpu) task.cpu = memory.u32(address + *o.cpu);
  if (auto on_cpu = s32(address, o.on_cpu)) task.on_cpu = *on_cpu != 0;
  if (o.real_parent && o.tgid) {
    if (auto parent = memory.pointer(address + *o.real_parent)) task.ppid = s32(*parent, o.tgid);
  }
  return task;
}

class Walker {
 public:
  Walker(Kernel& kernel, TaskList& list)
      : memory_(kernel.memory()), o_(task_offsets(kernel.layout())), list_(list) {}

  void walk(VirtAddr init_task) {
    list_.complete = true;
    if (!o_.signal || !o_.thread_head || !o_.thread_node) {
      problem("threads are not listed: no layout for signal_struct.thread_head and task_struct.thread_node");
    }
    const VirtAddr head = init_task + o_.tasks;
    VirtAddr last = head;
    WalkEnd end = walk_list(memory_, head, max_tasks, [&](VirtAddr node) {
      last = node;
      if (may_be_task(node)) add_process(node - o_.tasks);
      return list_.tasks.size() < max_tasks;
    });
    if (list_.tasks.size() >= max_tasks) end = WalkEnd::limit;
    note_end(end, "the task list", last);
    if (end == WalkEnd::unreadable || end == WalkEnd::cycle) walk_back(head);
  }

 private:
  // The ring is doubly linked: what lies behind a broken link is reached from the other side.
  void walk_back(VirtAddr head) {
    std::optional<VirtAddr> node = memory_.pointer(head + 8);
    size_t recovered = 0;
    while (node && *node != head && list_.tasks.size() < max_tasks) {
      VirtAddr leader = *node - o_.tasks;
      if (seen_.contains(leader.value) || !memory_.pointer(*node)) break;
      add_process(leader);
      ++recovered;
      node = memory_.pointer(*node + 8);
    }
    if (recovered != 0) {
      problem(fmt::format("listed backwards from the end, behind the break: {} process{}", recovered,
                          recovered == 1 ? "" : "es"));
    }
  }

  // False for a link to where no memory is; a task on a page that the dump leaves out is still one.
  bool may_be_task(VirtAddr node) {
    uint8_t byte = 0;
    ReadStatus status = memory_.read(node, {&byte, 1}).status;
    return status == ReadStatus::ok || status == ReadStatus::excluded || status == ReadStatus::unreadable;
  }

  void add_process(VirtAddr leader) {
    ++list_.processes;
    if (!add(leader)) return;
    if (!o_.signal || !o_.thread_head || !o_.thread_node) return;
    const std::string what = fmt::format("the threads of the task at {:#x}", leader.value);
    std::optional<VirtAddr> signal = memory_.pointer(leader + *o_.signal);
    if (!signal || signal->value == 0) {
      note_end(WalkEnd::unreadable, what, leader + *o_.signal);
      return;
    }
    VirtAddr last = *signal + *o_.thread_head;
    WalkEnd end = walk_list(memory_, last, max_tasks, [&](VirtAddr node) {
      last = node;
      VirtAddr thread = node - *o_.thread_node;
      if (thread != leader && may_be_task(node)) add(thread);
      return list_.tasks.size() < max_tasks;
    });
    note_end(end, what, last);
  }

  // False when the task is known already (lists that overlap) or cannot be read.
  bool add(VirtAddr address) {
    if (!seen_.insert(address.value).second) return false;
    Task task = task_at(memory_, o_, address);
    const bool readable = task.pid.has_value() || !o_.pid;
    if (!readable)
      damaged_or_filtered(address + *o_.pid, fmt::format("the task at {:#x} cannot be read", address.value));
    list_.tasks.push_back(std::move(task));
    return readable;
  }

  // `last`: what the walk stood on when it ended.
  void note_end(WalkEnd end, std::string_view what, VirtAddr last) {
    if (end == WalkEnd::complete || end == WalkEnd::stopped) return;
    damaged_or_filtered(last, fmt::format("{} ended early: {}", what, to_string(end)));
  }

  // A page that the dump filter left out is no sign of damage; anything else is.
  void damaged_or_filtered(VirtAddr va, std::string text) {
    list_.complete = false;
    ul64 value;
    ReadResult result = memory_.read(va, {reinterpret_cast<uint8_t*>(&value), sizeof value});
    if (!result) text += fmt::format(" ({:#x}: {})", va.value, to_string(result.status));
    if (result.status != ReadStatus::excluded) list_.damaged = true;
    problem(std::move(text));
  }

  void problem(std::string text) {
    if (list_.problems.size() == max_problems) list_.problems.push_back("more of the same is not shown");
    if (list_.problems.size() < max_problems) list_.problems.push_back(std::move(text));
  }

  KernelMemory& memory_;
  Offsets o_;
  TaskList& list_;
  std::unordered_set<uint64_t> seen_;
};

}  // namespace

char task_state_letter(uint64_t state, uint64_t exit_state) {
  // include/linux/sched.h: TASK_REPORT, task_index_to_char(). The bits have had these values since
  // Linux commit 8ef9925b02c2 ("sched/debug: Add explicit TASK_PARKED printing") (in v4.14).
  constexpr uint64_t report = 0x7f, idle = 0x402, rtlock_wait = 0x1000, frozen = 0x8000,
                     uninterruptible = 0x2;
  constexpr std::string_view letters = "RSDTtXZPI";
  uint64_t bits = (state | exit_state) & report;
  if ((state & idle) == idle) bits = report + 1;
  if ((state & (rtlock_wait | frozen)) != 0) bits = uninterruptible;
  return letters[static_cast<size_t>(std::bit_width(bits))];
}

Task read_task(Kernel& kernel, VirtAddr at) {
  return task_at(kernel.memory(), task_offsets(kernel.layout()), at);
}

std::string_view task_state_name(char letter) {
  switch (letter) {
    case 'R':
      return "running";
    case 'S':
      return "sleeping";
    case 'D':
      return "uninterruptible";
    case 'T':
      return "stopped";
    case 't':
      return "traced";
    case 'X':
      return "dead";
    case 'Z':
      return "zombie";
    case 'P':
      return "parked";
    case 'I':
      return "idle";
    default:
      return "unknown";
  }
}

TaskList read_tasks(Kernel& kernel) {
  TaskList list;
  try {
    Walker walker(kernel, list);
    std::optional<VirtAddr> init_task = kernel.symbol("init_task");
    if (!init_task) {
      init_task = find_init_task(kernel);
      list.heuristic = init_task.has_value();
    }
    if (!init_task) {
      list.why_not = "the symbol init_task is not known, and no init_task was recognised in the kernel image";
      return list;
    }
    walker.walk(*init_task);
    if (list.tasks.empty()) list.why_not = "the task list is empty or cannot be read";
  } catch (const Error& e) {
    list.complete = false;
    list.why_not = e.message();
  }
  return list;
}

}  // namespace kdk
