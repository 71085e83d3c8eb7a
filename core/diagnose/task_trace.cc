#include "core/diagnose/task_trace.h"

namespace kdk {
namespace {

constexpr size_t max_frames = 256;

TaskTrace of_running(const Task& task, const Crash* crash) {
  TaskTrace out;
  if (crash != nullptr) {
    for (const CpuState& cpu : crash->cpus) {
      if (cpu.task != task.address) continue;
      out.trace = cpu.backtrace;
      out.start = cpu.registers;
      if (!cpu.answered) out.why_not = "it was on a CPU that left no registers";
      return out;
    }
  }
  out.why_not = "it was on a CPU of which no registers are known";
  return out;
}

TaskTrace of_sleeping(Kernel& kernel, const Task& task, const UnwindAids& aids) {
  TaskTrace out;
  const VirtAddr at{task.address};
  const std::optional<Registers> registers = sleeping_task_registers(kernel, at);
  if (!registers) {
    const bool exited = task.state == 'X' || task.state == 'Z';
    out.why_not = exited ? "it has exited and gave its stack back" : "its saved registers are not known";
    return out;
  }
  out.trace = unwind_from_registers(kernel, *registers, task_stack(kernel, at), aids, max_frames);
  symbolise(kernel, out.trace);
  out.start = registers;
  return out;
}

}  // namespace

TaskTrace trace_task(Kernel& kernel, const Task& task, const Crash* crash, const UnwindAids& aids) {
  return task.on_cpu.value_or(false) ? of_running(task, crash) : of_sleeping(kernel, task, aids);
}

}  // namespace kdk
