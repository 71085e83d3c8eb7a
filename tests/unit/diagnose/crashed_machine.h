// A synthetic arm64 kernel with stacks, functions and registers to unwind.
#pragma once

#include "core/diagnose/crash.h"
#include "tests/unit/diagnose/function_machine.h"

namespace kdk::test {

constexpr uint64_t el1h = 0x5;  // pstate: kernel mode
constexpr size_t x29 = 29, x30 = 30, sp = 31, pc = 32, pstate = 33;
constexpr uint64_t thread_size_4k = 16384;
constexpr uint32_t bl_forward = 0x94000000;  // BL with imm26 = 0

inline Registers kernel_registers(uint64_t pc_value, uint64_t fp, uint64_t sp_value, uint64_t link = 0) {
  Registers registers;
  for (size_t i = 0; i < 34; ++i) registers.set(i, 0x1000 + i);
  registers.set(x29, fp);
  registers.set(x30, link);
  registers.set(sp, sp_value);
  registers.set(pc, pc_value);
  registers.set(pstate, el1h);
  return registers;
}

// A stack that is filled from its top downwards, as the CPU does.
class StackFrames {
 public:
  StackFrames(DumpBuilder& machine, VirtAddr low, uint64_t size) : machine_(machine), top_(low + size) {}

  VirtAddr position() const { return top_; }
  // Makes room for `bytes`, 16-byte aligned.
  VirtAddr push(uint64_t bytes) { return top_ = VirtAddr{align_down(top_.value - bytes, 16)}; }
  // {fp, lr}; returns its address, the callee's x29.
  uint64_t record(uint64_t fp, uint64_t lr) {
    VirtAddr at = push(48);
    machine_.put_u64(at, fp);
    machine_.put_u64(at + 8, lr);
    return at.value;
  }
  // struct pt_regs of 336 bytes with its embedded record at `stackframe`; returns the record's address. sp in
  // the registers is what it was before the exception.
  uint64_t pt_regs(Registers registers, uint64_t stackframe, uint64_t record_fp, uint64_t record_lr,
                   std::optional<uint64_t> type = std::nullopt) {
    VirtAddr at = push(336);
    for (size_t i = 0; i < 34; ++i) machine_.put_u64(at + i * 8, registers.value[i]);
    machine_.put_u64(at + stackframe, record_fp);
    machine_.put_u64(at + stackframe + 8, record_lr);
    if (type) machine_.put_u64(at + stackframe + 16, *type);
    return at.value + stackframe;
  }
  // The registers of a thread that came from user mode, and their final record {0, 0}.
  uint64_t user_entry(uint64_t stackframe = 304, std::optional<uint64_t> type = std::nullopt) {
    Registers user = kernel_registers(0xaaaaaaaa0000, 0xffffc0de0000, 0xffffc0de0000);
    user.set(pstate, 0);
    return pt_regs(user, stackframe, 0, 0, type);
  }
  uint64_t thread_start(uint64_t stackframe = 304, std::optional<uint64_t> type = std::nullopt) {
    Registers zero;
    for (size_t i = 0; i < 34; ++i) zero.set(i, 0);
    zero.set(pstate, el1h);
    return pt_regs(zero, stackframe, 0, 0, type);
  }

 private:
  DumpBuilder& machine_;
  VirtAddr top_;
};

struct CrashedMachine : FunctionMachine {
  explicit CrashedMachine(MachineOptions options = {}) : FunctionMachine(std::move(options)) {}
};

}  // namespace kdk::test
