// The parts of the x86-64 unwinder (unwinder.h).
#pragma once

#include "core/diagnose/code_map.h"
#include "core/diagnose/unwind.h"

namespace kdk {

void add_x86_64_stacks(Kernel& kernel, unsigned cpu, StackSet& stacks);
std::optional<Registers> x86_64_sleeping_registers(Kernel& kernel, VirtAddr task);

// The call instruction that ends at an address.
struct CallSite {
  std::optional<uint64_t> target;  // nullopt: called through a register or memory
};
// nullopt when the instruction before `address` is no call, or one of a fixed target that is not code.
std::optional<CallSite> call_before(KernelMemory& memory, CodeMap& code, uint64_t address);

// Offset of `push %rbp` in the prologue `push %rbp; mov %rsp,%rbp` of the function that begins at `function`:
// proof that it keeps a frame record. nullopt when it has no such prologue.
std::optional<uint64_t> frame_prologue(KernelMemory& memory, uint64_t function);

// Five words that a CPU pushed when it entered the kernel: rip, cs, rflags, rsp, ss.
struct InterruptFrame {
  ul64 rip, cs, rflags, rsp, ss;
  bool from_user() const { return (cs & 3) == 3; }
};
// True when the words can only be such a frame; `code` decides about rip in the kernel.
bool plausible(const InterruptFrame& frame, CodeMap& code);

}  // namespace kdk
