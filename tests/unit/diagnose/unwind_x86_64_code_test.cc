// The walk through code outside the kernel image, and the tasks that sleep.
#include "tests/unit/diagnose/unwind_x86_64_fixture.h"

namespace kdk {
namespace {

// --- modules, generated code, sleeping tasks

TEST_F(UnwindX86, ModulesBringTheirOwnTables) {
  const VirtAddr text = m.machine.module_area();
  m.machine.map(text, m.machine.alloc_pages(2), 8192);
  const VirtAddr data = text + 4096;
  const VirtAddr module = m.machine.image_alloc(0x100), head = m.machine.image_alloc(16);
  for (bool honest : {true, false}) {
    m.types.fields = {{"module.list", {0, 16}},
                      {"module.name", {0x10, 56}},
                      {"module.state", {0x48, 4}},
                      {"module.mem", {0x50, 16}},
                      {"module_memory.base", {0, 8}},
                      {"module_memory.size", {8, 4}},
                      {"module.arch.num_orcs", {0x60, 4}},
                      {"module.arch.orc_unwind_ip", {0x68, 8}},
                      {"module.arch.orc_unwind", {0x70, 8}}};
    m.types.sizes["module_memory"] = 16;
    m.types.lengths["module.mem"] = 1;
    m.variables["modules"] = head;
    m.machine.put_list(head, {module});
    m.machine.put_text(module + 0x10, std::string("testmod\0", 8));
    m.machine.put_u64(module + 0x50, text.value);
    m.machine.put_u32(module + 0x58, 8192);
    const test::OrcBytes bytes =
        test::orc_table({{text.value, orc_call(OrcReg::sp, 16)}}, OrcFormat::v3, data.value);
    m.machine.put(data, bytes.ips);
    m.machine.put(data + 0x100, bytes.rows);
    m.machine.put_u32(module + 0x60, honest ? 1 : 0x10000000);
    m.machine.put_u64(module + 0x68, data.value);
    m.machine.put_u64(module + 0x70, data.value + 0x100);
    task.position = task.high;
    enter_from_user();
    m.rule(8, orc_call(OrcReg::sp, 8));
    push(task, m.indirect_call(8));
    push(task, 1);
    Backtrace trace = walk(x86_registers(text.value + 0x20, task.position));
    EXPECT_EQ(functions, (Names{"", "f8", "f9"}));
    EXPECT_EQ(trace.frames[1].trust, honest ? Trust::orc : Trust::scan);
  }
}

TEST_F(UnwindX86, FtraceTrampolinesAreCopiesOfTheirOriginal) {
  const VirtAddr trampoline = m.machine.vmalloc(1), ops = m.machine.image_alloc(0x40);
  m.types.fields = {{"ftrace_ops.trampoline", {0, 8}},
                    {"ftrace_ops.trampoline_size", {8, 8}},
                    {"ftrace_ops.flags", {16, 8}},
                    {"ftrace_ops.next", {24, 8}}};
  m.machine.put_u64(ops, trampoline.value);
  m.machine.put_u64(ops + 8, 0x100);
  m.machine.put_u64(ops + 16, 1 << 2);  // FTRACE_OPS_FL_SAVE_REGS
  m.variables["ftrace_ops_list"] = m.machine.image_alloc(8);
  m.machine.put_u64(m.variables["ftrace_ops_list"], ops.value);
  m.names[7] = "ftrace_regs_caller";
  m.rule_at(7, 0x40, orc_call(OrcReg::sp, 24));
  enter_from_user();
  m.rule(8, orc_call(OrcReg::sp, 8));
  push(task, m.indirect_call(8));
  push(task, 1);
  push(task, 2);
  Backtrace trace = walk(x86_registers(trampoline.value + 0x50, task.position));
  EXPECT_EQ(functions, (Names{"ftrace_trampoline", "f8", "f9"}));
  EXPECT_EQ(trace.frames[1].trust, Trust::orc);
}

class UnwindX86Hooks : public UnwindX86 {
 protected:
  // f7 was called by f8, but a tracer has put its trampoline in the place of the return address.
  void SetUp() override {
    UnwindX86::SetUp();
    enter_from_user();
    m.rule(8, orc_call(OrcReg::sp, 8));
    m.rule(7, orc_call(OrcReg::sp, 8));
    m.rule(10, OrcRule{});  // from here on nothing is known
    m.names[30] = "return_to_handler";
    m.names[31] = "arch_rethook_trampoline";
    known.task = m.machine.image_alloc(0x100).value;
    aside = m.machine.image_alloc(0x1000);
  }
  VirtAddr aside;
};

TEST_F(UnwindX86Hooks, TheGraphTracersStackHasTheReturnAddress) {
  m.types.fields = {{"task_struct.ret_stack", {0x10, 8}},
                    {"ftrace_ret_stack.ret", {0, 8}},
                    {"ftrace_ret_stack.retp", {24, 8}}};
  const uint64_t slot = push(task, m.function(30));
  m.machine.put_u64(VirtAddr{known.task + 0x10}, aside.value);
  m.machine.put_u64(aside + 0x18, 0x55);  // the tracer's own words
  m.machine.put_u64(aside + 0x20, m.call(8, 7));
  m.machine.put_u64(aside + 0x20 + 24, slot);
  m.machine.put_u64(aside + 0x60, m.function(20, 0x40));  // left over from an earlier call
  m.machine.put_u64(aside + 0x60 + 24, slot);
  Backtrace trace = walk(in(7, task));
  EXPECT_EQ(functions, (Names{"f7", "f8", "f9"}));
  EXPECT_TRUE(trace.complete) << trace.end;
}

TEST_F(UnwindX86Hooks, AReturnProbesNodeHasTheReturnAddress) {
  m.types.fields = {{"task_struct.rethooks.first", {0x18, 8}},
                    {"rethook_node.llist", {16, 8}},
                    {"rethook_node.ret_addr", {32, 8}},
                    {"rethook_node.frame", {40, 8}}};
  const uint64_t slot = push(task, m.function(31));
  // Two probes of f7, and the node of another function between them.
  const std::array<std::pair<uint64_t, uint64_t>, 3> nodes = {
      {{m.function(31), slot}, {m.function(20, 0x40), slot + 64}, {m.call(8, 7), slot}}};
  m.machine.put_u64(VirtAddr{known.task + 0x18}, aside.value + 16);
  for (size_t i = 0; i < nodes.size(); ++i) {
    const VirtAddr node = aside + i * 64;
    if (i + 1 < nodes.size()) m.machine.put_u64(node + 16, node.value + 64 + 16);
    m.machine.put_u64(node + 32, nodes[i].first);
    m.machine.put_u64(node + 40, nodes[i].second);
  }
  Backtrace trace = walk(in(7, task));
  EXPECT_EQ(functions, (Names{"f7", "f8", "f9"}));
  EXPECT_TRUE(trace.complete) << trace.end;
}

TEST_F(UnwindX86Hooks, ATrampolineIsNamedWhenItsOriginalIsNotFound) {
  push(task, m.function(30));
  Backtrace trace = walk(in(7, task));
  ASSERT_EQ(functions, (Names{"f7", "return_to_handler", "f9"}));
  EXPECT_FALSE(trace.frames[1].pc_is_return_address);
  EXPECT_EQ(trace.frames[2].trust, Trust::scan);
}

TEST_F(UnwindX86, SleepingTasksContinueBehindTheSwitch) {
  enter_from_user();
  m.rule(8, orc_call(OrcReg::sp, 8));
  const VirtAddr init_task = m.machine.image_alloc(0x100);
  m.types.fields = {{"task_struct.thread.sp", {0x20, 8}},     {"task_struct.stack", {0x28, 8}},
                    {"inactive_task_frame.r15", {0, 8}},      {"inactive_task_frame.r14", {8, 8}},
                    {"inactive_task_frame.r13", {16, 8}},     {"inactive_task_frame.r12", {24, 8}},
                    {"inactive_task_frame.bx", {32, 8}},      {"inactive_task_frame.bp", {40, 8}},
                    {"inactive_task_frame.ret_addr", {48, 8}}};
  m.types.sizes["inactive_task_frame"] = 56;
  m.types.sizes["thread_union"] = x86_stack_size;
  push(task, m.function(8, 0x30));
  push(task, 0xb9b9);
  for (uint64_t v : {0xb0, 0x12, 0x13, 0x14, 0x15}) push(task, v);
  m.machine.put_u64(init_task + 0x20, task.position);
  m.machine.put_u64(init_task + 0x28, task.low.value);
  m.open();
  const std::optional<Registers> registers = sleeping_task_registers(*m.kernel, init_task);
  ASSERT_TRUE(registers);
  EXPECT_EQ(registers->get(r::rip), m.function(8, 0x30));
  EXPECT_EQ(registers->get(r::rsp), task.position + 56);
  EXPECT_EQ(registers->get(r::rbp), 0xb9b9);
  EXPECT_EQ(registers->get(r::r12), 0x12);
  EXPECT_EQ(registers->get(r::r15), 0x15);
  const StackSet stacks = task_stack(*m.kernel, init_task);
  ASSERT_EQ(stacks.ranges.size(), 1U);
  EXPECT_EQ(stacks.ranges[0].high, task.high);
  Backtrace trace = unwind_from_registers(*m.kernel, *registers, stacks);
  EXPECT_EQ(m.functions_of(trace), (Names{"f8", "f9"}));
  EXPECT_TRUE(trace.complete);

  m.machine.put_u64(init_task + 0x28, 0);  // it has exited
  m.open();
  EXPECT_FALSE(sleeping_task_registers(*m.kernel, init_task));
  EXPECT_TRUE(task_stack(*m.kernel, init_task).ranges.empty());
}

TEST_F(UnwindX86, KernelThreadsBeginBelowEmptyRegisters) {
  push_registers(task, Registers{});
  push(task, m.call(9, 8));
  Backtrace trace = walk(in(8, task));
  EXPECT_EQ(functions, (Names{"f8", "f9"}));
  EXPECT_EQ(trace.end, "thread start");
  EXPECT_TRUE(trace.complete);
}

}  // namespace
}  // namespace kdk
