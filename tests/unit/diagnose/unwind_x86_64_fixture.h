// Stacks of a synthetic x86-64 machine, and walks over them.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <string>
#include <utility>
#include <vector>

#include "core/diagnose/orc.h"
#include "tests/unit/diagnose/x86_64_machine.h"

namespace kdk {

namespace r = x86_64_reg;
using test::orc_call;
using test::orc_end;
using test::orc_regs;
using test::x86_registers;
using test::x86_stack_size;
using Names = std::vector<std::string>;

class UnwindX86 : public testing::Test {
 protected:
  // A stack with guard pages; `position` is where the next word goes as the stack grows down.
  struct Stack {
    VirtAddr low;
    uint64_t high = 0, position = 0;
  };
  Stack make_stack(std::string name) {
    Stack stack{m.machine.vmalloc(x86_stack_size / 4096)};
    stack.high = stack.position = stack.low.value + x86_stack_size;
    known.ranges.push_back({stack.low.value, stack.high, std::move(name)});
    return stack;
  }
  void SetUp() override { task = make_stack("task"); }
  uint64_t push(Stack& stack, uint64_t value) {
    stack.position -= 8;
    m.machine.put_u64(VirtAddr{stack.position}, value);
    return stack.position;
  }
  uint64_t push_registers(Stack& stack, const Registers& registers) {
    stack.position -= 168;
    m.pt_regs(VirtAddr{stack.position}, registers);
    return stack.position;
  }
  // The top of a task's stack: the registers of user mode, and entry code (f9) that called f8.
  void enter_from_user() {
    push_registers(task, test::x86_user_registers());
    m.rule(9, orc_regs());
    push(task, m.call(9, 8));
  }
  Backtrace walk(const Registers& start, UnwindAids aids = {}, size_t limit = 256) {
    m.open();
    Backtrace trace = unwind_from_registers(*m.kernel, start, known, aids, limit);
    functions = m.functions_of(trace);
    return trace;
  }
  // In the middle of fn, with rsp where the stack stands.
  Registers in(unsigned n, const Stack& stack, uint64_t rbp = 0x1b9) {
    return x86_registers(m.function(n, 0x80), stack.position, rbp);
  }

  test::X86Machine m;
  Stack task;
  StackSet known;
  Names functions;
};

}  // namespace kdk
