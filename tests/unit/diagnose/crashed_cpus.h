// A crashed two-CPU kernel as kdump leaves it: crash_notes per CPU, run queues with current tasks, stacks, a
// log.
#pragma once

#include <memory>

#include "core/kernel/printk.h"
#include "tests/unit/diagnose/crashed_machine.h"

namespace kdk::test {

struct CpuOptions {
  bool crash_notes = true;     // symbols crash_notes and __per_cpu_offset are known
  bool second_answers = true;  // CPU 1 left its registers
  bool second_first_in_file = false;
  bool crash_time = true;
  int32_t first_pid = 412, second_pid = 0;
};

// CPU 0 (task 412 "my worker") took a NULL dereference in f5, called from f6; its registers are in f0 =
// __crash_kexec, f1 = die. CPU 1 idles in f10 below f11.
std::unique_ptr<CrashedMachine> crashed_two_cpus(const CpuOptions& options = {});

KernelLog null_dereference_log();

}  // namespace kdk::test
