#include "analyze/inspect/wait_queue.h"

#include <fmt/format.h>

#include <map>
#include <set>

#include "analyze/inspect/object.h"
#include "core/base/error.h"

namespace kdk {
namespace {

constexpr uint64_t exclusive_flag = 1;  // WQ_FLAG_EXCLUSIVE

// Of an entry of poll(2) and select(2), whose own structure leads to the task.
std::optional<VirtAddr> polling_task(Objects& objects, VirtAddr private_data) {
  if (!objects.has_type("poll_wqueues")) return std::nullopt;
  return objects.at("poll_wqueues", private_data).pointer("polling_task");
}

}  // namespace

WaitQueue read_wait_queue(TypedMemory& types, VirtAddr head, bool simple, const KernelLog& log,
                          std::vector<std::string>& problems) {
  Objects objects(types);
  Kernel& kernel = types.kernel();
  WaitQueue out;
  out.address = head.value;
  Problems found;
  // Linux commits ac6424b981bc and 2055da97389a ("sched/wait: Disambiguate wq_entry->task_list and
  // wq_head->task_list naming") (in v4.13) gave both the names they have.
  const std::string_view head_type = simple ? "swait_queue_head" : "wait_queue_head";
  const std::string_view entry_type = simple ? "swait_queue" : "wait_queue_entry";
  const std::string_view link = simple ? "task_list" : "entry";
  const auto list = objects.at(head_type, head).place(simple ? "task_list" : "head");
  if (!list) throw Error(Errc::missing, fmt::format("no layout for {}", head_type));
  const auto next = kernel.memory().u64(*list), last = kernel.memory().u64(*list + 8);
  if (!next || !last)
    throw Error(Errc::fault, fmt::format("no wait queue can be read at {:#x}", head.value), head.value);
  // A ring whose neighbours know nothing of the head is none.
  if (kernel.memory().u64({*next + 8}) != list->value || kernel.memory().u64({*last}) != list->value)
    throw Error(Errc::format,
                fmt::format("there is no wait queue at {:#x}: its list leads elsewhere", head.value));

  std::set<uint64_t> all_tasks;
  for (const Task& task : read_tasks(kernel).tasks) all_tasks.insert(task.address);
  const auto poll = kernel.symbol("pollwake");
  std::map<size_t, uint64_t> tasks;  // of entries
  for (const Object& object :
       objects.list(*list, entry_type, link, fmt::format("the wait queue at {:#x}", head.value), found)) {
    WaitEntry entry;
    entry.address = object.address();
    std::optional<VirtAddr> task;
    if (simple) {
      task = object.pointer("task");
    } else {
      const uint64_t function = object.number("func").value_or(0);
      entry.function = objects.symbol_text(function);
      entry.exclusive = (object.number("flags").value_or(0) & exclusive_flag) != 0;
      entry.private_data = object.number("private").value_or(0);
      if (entry.private_data != 0)
        task = poll && function == poll->value ? polling_task(objects, {entry.private_data})
                                               : VirtAddr{entry.private_data};
    }
    // What is private may be anything; a task is one that the kernel lists.
    if (task && all_tasks.contains(task->value)) tasks[out.entries.size()] = task->value;
    out.entries.push_back(std::move(entry));
  }
  std::vector<uint64_t> addresses;
  for (const auto& [entry, task] : tasks) addresses.push_back(task);
  const auto known = read_task_set(kernel, addresses, log);
  for (const auto& [entry, task] : tasks) out.entries[entry].task = known.at(task);
  for (std::string& problem : found.take()) problems.push_back(std::move(problem));
  return out;
}

}  // namespace kdk
