// A whole crashed kernel in small, arm64 or x86-64 (scene_arch.h), for golden and unit tests: two CPUs with
// stacks and crash notes, a task list, one module, memory counters, uts name, a log, kallsyms and BTF, all on
// a DumpBuilder machine.
//
// The story: task "trigger" (pid 77) wrote to /proc/sysrq-trigger on CPU 0, CPU 1 was idle. There are 9 tasks
// in 7 processes: init, kthreadd, a kworker, "trigger", "worker" with two more threads, a D-state "blocked"
// and a zombie.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "tests/support/dump_builder.h"

namespace kdk::test {

struct SceneOptions {
  MachineOptions machine = {};
  bool data_symbols = true;    // CONFIG_KALLSYMS_ALL: else kallsyms names functions only
  bool oops = false;           // a NULL dereference instead of sysrq-c
  bool hostile_names = false;  // control bytes, bad UTF-8 and markup in comm, module name, hostname and log
};

struct Scene {
  explicit Scene(const SceneOptions& options = {});

  std::unique_ptr<DumpBuilder> machine;
  VirtAddr init_task, blocked_task;   // struct task_struct
  std::map<int32_t, VirtAddr> tasks;  // by pid, idle tasks not among them
  std::map<std::string, uint64_t> functions;
  // Offsets inside task_struct, as in the scene's BTF.
  static constexpr uint64_t state_offset = 0x18, stack_offset = 0x20;
  static constexpr uint64_t tasks_offset = 0x30, pid_offset = 0x44, comm_offset = 0x70;
};

}  // namespace kdk::test
