// What an architecture gives to the walk of stacks: one Unwinder object in unwind_<arch>.cc, and a line in
// find_unwinder().
#pragma once

#include "core/diagnose/unwind.h"

namespace kdk {

class Unwinder {
 public:
  virtual ~Unwinder() = default;
  virtual const Arch& arch() const = 0;
  // As unwind_from_registers(). `start` is in kernel mode and has a pc.
  virtual Backtrace walk(Kernel& kernel, const Registers& start, const StackSet& stacks,
                         const UnwindAids& aids, size_t limit) const = 0;
  // Adds the stacks that belong to a CPU (interrupts, exceptions, firmware), as far as symbols allow.
  virtual void add_cpu_stacks(Kernel& kernel, unsigned cpu, StackSet& stacks) const = 0;
  // As sleeping_task_registers().
  virtual std::optional<Registers> sleeping_task_registers(Kernel& kernel, VirtAddr task) const = 0;
};

// nullptr when there is none for `arch`.
const Unwinder* find_unwinder(const Arch& arch);
const Unwinder& arm64_unwinder();
const Unwinder& x86_64_unwinder();

}  // namespace kdk
