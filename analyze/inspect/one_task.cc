#include "analyze/inspect/one_task.h"

#include "analyze/inspect/processes.h"

namespace kdk {

std::map<uint64_t, StackOwner> read_task_set(Kernel& kernel, const std::vector<uint64_t>& addresses,
                                             const KernelLog& log) {
  TaskList list;
  std::map<uint64_t, StackOwner> out;
  for (const uint64_t address : addresses) {
    if (out.emplace(address, StackOwner{}).second) list.tasks.push_back(read_task(kernel, {address}));
  }
  const ProcessTable table = complete_processes(kernel, std::move(list), log);
  for (size_t i = 0; i < table.list.tasks.size(); ++i) {
    const Task& task = table.list.tasks[i];
    out[task.address] = {task, table.facts[i].since_run_ns};
  }
  return out;
}

}  // namespace kdk
