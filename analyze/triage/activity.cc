#include "analyze/triage/activity.h"

namespace kdk {
namespace {

// CPUs that a panic stops leave their timers where they are, while the clock of the one that goes on may run for a moment.
constexpr int64_t notable_ns = 1'000'000'000;

}  // namespace

Timers overdue_only(Timers timers) {
  for (CpuTimers& cpu : timers.cpus) {
    std::erase_if(cpu.timers, [](const PendingTimer& timer) {
      return !timer.overdue || timer.due_ns.value_or(0) > -notable_ns;
    });
  }
  std::erase_if(timers.cpus, [](const CpuTimers& cpu) { return cpu.timers.empty(); });
  return timers;
}

WorkQueues working_only(WorkQueues works) {
  std::erase_if(works.pools,
                [](const WorkerPool& pool) { return pool.busy.empty() && pool.pending.empty(); });
  works.queues.clear();
  return works;
}

Devices with_requests_only(Devices devices) {
  std::erase_if(devices.disks, [](const BlockDevice& disk) { return disk.requests.empty(); });
  return devices;
}

}  // namespace kdk
