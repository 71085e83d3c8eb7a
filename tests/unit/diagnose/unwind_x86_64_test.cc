// The walk by ORC rules and by what the CPU leaves on the stack.
#include "tests/unit/diagnose/unwind_x86_64_fixture.h"

namespace kdk {
namespace {

TEST_F(UnwindX86, CallsByStackPointerAndFramePointer) {
  enter_from_user();
  const uint64_t frame_8 = push(task, 0xbbbb);  // f8 pushed rbp and took it for its own
  m.rule(8, orc_call(OrcReg::bp, 16, OrcReg::prev_sp, -16));
  push(task, 1);
  push(task, m.call(8, 7));
  m.rule(7, orc_call(OrcReg::sp, 24));  // leaves rbp alone
  push(task, 2);
  push(task, 3);
  Backtrace trace = walk(in(7, task, frame_8));
  EXPECT_EQ(functions, (Names{"f7", "f8", "f9"}));
  EXPECT_EQ(trace.end, "user mode");
  EXPECT_TRUE(trace.complete);
  EXPECT_EQ(trace.frames[0].trust, Trust::registers);
  EXPECT_EQ(trace.frames[0].stack, "task");
  EXPECT_FALSE(trace.frames[0].pc_is_return_address);
  EXPECT_EQ(trace.frames[1].trust, Trust::orc);
  EXPECT_TRUE(trace.frames[1].pc_is_return_address);
  EXPECT_EQ(trace.frames[2].at, frame_8 + 8);
  EXPECT_TRUE(trace.problems.empty());
}

TEST_F(UnwindX86, EveryFormatOfTheTable) {
  for (OrcFormat format : test::all_orc_formats) {
    m = test::X86Machine();
    known.ranges.clear();
    task = make_stack("task");
    m.format = format;
    m.rule(0, orc_end());  // what tells the formats without a header apart
    for (unsigned n = 10; n < 30; ++n) m.rule(n, orc_call(OrcReg::sp, 16, OrcReg::prev_sp, -16));
    enter_from_user();
    m.rule(8, orc_call(OrcReg::sp, 8));
    Backtrace trace = walk(in(8, task));
    EXPECT_EQ(functions, (Names{"f8", "f9"})) << static_cast<int>(format);
    EXPECT_TRUE(trace.complete) << trace.end;
    EXPECT_EQ(trace.frames.back().trust, Trust::orc);
  }
}

TEST_F(UnwindX86, ThreadsStartWhereTheTableSaysSo) {
  push(task, m.call(9, 8));
  m.rule(9, orc_end());
  m.rule(8, orc_call(OrcReg::sp, 8));
  Backtrace trace = walk(in(8, task));
  EXPECT_EQ(functions, (Names{"f8", "f9"}));
  EXPECT_EQ(trace.end, "thread start");
  EXPECT_TRUE(trace.complete);
}

TEST_F(UnwindX86, TheRuleOfACallIsThatOfTheCallInstruction) {
  enter_from_user();
  m.rule(8, orc_call(OrcReg::sp, 16));
  push(task, 1);
  push(task, m.call(8, 7, 0x40));
  m.rule_at(8, 0x40, OrcRule{});  // f8 ends with a call that does not return
  m.rule(7, orc_call(OrcReg::sp, 8));
  walk(in(7, task));
  EXPECT_EQ(functions, (Names{"f7", "f8", "f9"}));
}

TEST_F(UnwindX86, ExceptionsHaveTheInterruptedRegisters) {
  enter_from_user();
  m.rule(7, orc_call(OrcReg::bp, 16, OrcReg::prev_sp, -16));
  push(task, m.call(8, 7));
  const uint64_t rbp = push(task, 0);
  m.rule(8, orc_call(OrcReg::sp, 8));
  Registers interrupted = x86_registers(m.function(7), task.position, rbp);  // at its first instruction
  m.rule_at(6, 0, orc_end());                                                // not the rule of pc - 1
  push_registers(task, interrupted);
  m.rule(5, orc_regs());
  push(task, m.call(5, 4));
  m.rule(4, orc_call(OrcReg::sp, 8));
  Backtrace trace = walk(in(4, task));
  EXPECT_EQ(functions, (Names{"f4", "f5", "f7", "f8", "f9"}));
  const Frame& frame = trace.frames[2];
  EXPECT_EQ(frame.kind, FrameKind::exception);
  EXPECT_EQ(frame.trust, Trust::registers);
  EXPECT_FALSE(frame.pc_is_return_address);
  ASSERT_TRUE(frame.registers);
  EXPECT_EQ(frame.registers->get(r::rbx), 0x1000 + r::rbx);
  EXPECT_EQ(frame.registers->get(r::rbp), rbp);
  EXPECT_TRUE(trace.complete);
}

TEST_F(UnwindX86, RegistersThatWereNotInterrupted) {
  enter_from_user();
  m.rule(8, orc_call(OrcReg::sp, 8));
  push_registers(task, x86_registers(m.call(8, 7), task.position));  // ftrace_regs_caller
  OrcRule rule = orc_regs();
  rule.signal = false;
  m.rule(7, rule);
  Backtrace trace = walk(in(7, task));
  EXPECT_EQ(functions, (Names{"f7", "f8", "f9"}));
  EXPECT_EQ(trace.frames[1].kind, FrameKind::call);
  EXPECT_TRUE(trace.frames[1].pc_is_return_address);
}

TEST_F(UnwindX86, EntryCodeBeforeItSavedRegisters) {
  enter_from_user();
  m.rule(8, orc_call(OrcReg::r10, 0));  // realigned its stack; r10 is where its frame began
  Registers interrupted = x86_registers(m.function(8, 0x20), task.position - 64);
  task.position -= 64 + 40;
  m.interrupt_frame(VirtAddr{task.position}, interrupted);
  m.rule(7, orc_regs(OrcType::regs_partial));
  Registers start = in(7, task);
  start.set(r::r10, task.high - 168);
  Backtrace trace = walk(start);
  EXPECT_EQ(functions, (Names{"f7", "f8", "f9"}));
  EXPECT_EQ(trace.frames[1].kind, FrameKind::exception);
  EXPECT_EQ(trace.frames[1].registers->get(r::rsp), *interrupted.get(r::rsp));
  EXPECT_FALSE(trace.frames[1].registers->get(r::rax)) << "not saved";
}

TEST_F(UnwindX86, RulesFromEveryRegister) {
  struct Case {
    OrcReg reg;
    size_t index;
  };
  for (auto [reg, index] : {Case{OrcReg::dx, r::rdx}, Case{OrcReg::di, r::rdi}, Case{OrcReg::r10, r::r10},
                            Case{OrcReg::r13, r::r13}, Case{OrcReg::ax, r::rax}}) {
    m = test::X86Machine();
    known.ranges.clear();
    task = make_stack("task");
    m.format = OrcFormat::v4;
    enter_from_user();
    m.rule(8, orc_call(reg, 0));
    Registers start = x86_registers(m.function(8, 0x80), task.position - 0x100);
    start.set(index, task.position + 8);
    walk(start);
    EXPECT_EQ(functions, (Names{"f8", "f9"})) << static_cast<int>(reg);
  }
}

TEST_F(UnwindX86, BasePointerIndirect) {
  enter_from_user();
  const uint64_t caller_sp = task.position + 8;
  m.rule(8, orc_call(OrcReg::bp_indirect, -8));
  push(task, caller_sp);
  const uint64_t rbp = task.position + 8;
  task.position -= 0x40;
  walk(in(8, task, rbp));
  EXPECT_EQ(functions, (Names{"f8", "f9"}));
}

// call_on_irqstack() leaves the task's stack pointer in the last word of the interrupt stack.
TEST_F(UnwindX86, FromTheInterruptStackToTheTasks) {
  Stack irq = make_stack("irq");
  enter_from_user();
  m.rule(8, orc_call(OrcReg::sp, 8));
  push_registers(task, x86_registers(m.function(8, 0x20), task.position));
  m.rule(7, orc_regs());
  push(task, m.call(7, 6));
  push(irq, task.position);
  m.rule(6, orc_call(OrcReg::sp_indirect, 8));
  push(irq, m.call(6, 5));
  m.rule(5, orc_call(OrcReg::sp, 8));
  Backtrace trace = walk(in(5, irq));
  EXPECT_EQ(functions, (Names{"f5", "f6", "f7", "f8", "f9"}));
  EXPECT_EQ(trace.frames[1].stack, "irq");
  EXPECT_EQ(trace.frames[2].stack, "task");
  EXPECT_EQ(trace.frames[3].kind, FrameKind::exception);
  EXPECT_TRUE(trace.complete) << trace.end;
}

// Before v5.12 the offset led to the word, on the interrupt stack, that holds the address of the registers.
TEST_F(UnwindX86, TheOlderIndirectRule) {
  Stack irq = make_stack("irq");
  enter_from_user();
  m.rule(8, orc_call(OrcReg::sp, 8));
  push(irq, push_registers(task, x86_registers(m.function(8, 0x20), task.position)));
  push(irq, 0x1234);
  m.rule(6, orc_regs(OrcType::regs, OrcReg::sp_indirect, 8));
  Backtrace trace = walk(in(6, irq));
  EXPECT_EQ(functions, (Names{"f6", "f8", "f9"}));
  EXPECT_TRUE(trace.complete) << trace.end;
}

TEST_F(UnwindX86, FromAnNmiOverAnInterruptOverATask) {
  Stack irq = make_stack("irq"), nmi = make_stack("nmi");
  enter_from_user();
  m.rule(8, orc_call(OrcReg::sp, 8));
  push(task, m.call(8, 7));
  m.rule(7, orc_call(OrcReg::sp_indirect, 8));
  push(irq, task.position);
  m.rule(6, orc_call(OrcReg::sp, 8));
  push(irq, m.call(7, 6));
  push_registers(nmi, x86_registers(m.function(6, 0x20), irq.position));
  m.rule(5, orc_regs());
  push(nmi, m.call(5, 4));
  m.rule(4, orc_call(OrcReg::sp, 8));
  Backtrace trace = walk(in(4, nmi));
  EXPECT_EQ(functions, (Names{"f4", "f5", "f6", "f7", "f8", "f9"}));
  Names stacks;
  for (const Frame& frame : trace.frames) stacks.push_back(frame.stack);
  EXPECT_EQ(stacks, (Names{"nmi", "nmi", "irq", "irq", "task", "task"}));
}

TEST_F(UnwindX86, NeverBackIntoAStack) {
  Stack irq = make_stack("irq");
  m.rule(8, orc_call(OrcReg::sp_indirect, 8));
  const uint64_t ra = m.call(8, 7);
  // Each stack's top leads to the other one.
  m.machine.put_u64(VirtAddr{task.high - 8}, irq.high - 16);
  m.machine.put_u64(VirtAddr{irq.high - 8}, task.high - 16);
  m.machine.put_u64(VirtAddr{task.high - 16}, ra);
  m.machine.put_u64(VirtAddr{irq.high - 16}, ra);
  Backtrace trace = walk(x86_registers(m.function(8, 0x80), task.high - 8));
  EXPECT_LE(trace.frames.size(), 4U);
  EXPECT_FALSE(trace.complete);
  EXPECT_NE(trace.end.find("leads back into"), std::string::npos) << trace.end;
}

TEST_F(UnwindX86, CallThroughNull) {
  enter_from_user();
  m.rule(8, orc_call(OrcReg::sp, 16));
  push(task, 1);
  push(task, m.indirect_call(8));
  m.variables["per_cpu_offset_of_something"] = VirtAddr{0};
  Backtrace trace = walk(x86_registers(0, task.position));
  EXPECT_EQ(functions, (Names{"", "f8", "f9"}));
  EXPECT_EQ(trace.frames[1].kind, FrameKind::bad_call);
  EXPECT_TRUE(trace.complete);
}

TEST_F(UnwindX86, JumpIntoData) {
  enter_from_user();
  m.rule(8, orc_call(OrcReg::sp, 8));
  push(task, m.indirect_call(8));
  m.variables["some_data"] = m.machine.image_alloc(64);
  Backtrace trace = walk(x86_registers(m.variables["some_data"].value, task.position));
  EXPECT_EQ(functions, (Names{"some_data", "f8", "f9"}));
  EXPECT_EQ(trace.frames[1].kind, FrameKind::bad_call);
}

// Generated code and an object of a slab have neither symbol nor module: the tables tell.
TEST_F(UnwindX86, JumpIntoAPageThatMayNotBeExecuted) {
  enter_from_user();
  m.rule(8, orc_call(OrcReg::sp, 16));
  push(task, 1);
  push(task, m.indirect_call(8));
  const Registers there = x86_registers(m.machine.vmalloc(1).value, task.position);
  Backtrace trace = walk(there);
  EXPECT_EQ(functions, (Names{"", "f8", "f9"}));
  EXPECT_EQ(trace.frames[1].kind, FrameKind::bad_call);
  EXPECT_EQ(trace.frames[1].trust, Trust::registers);
  EXPECT_TRUE(trace.complete);

  Translator& tables = m.kernel->memory().translator();
  for (const Translator::Step& step : tables.steps(std::nullopt, VirtAddr{*there.get(r::rip)})) {
    m.machine.put_phys_u64(step.entry, step.raw & ~(uint64_t{1} << 63));
  }
  trace = walk(there);
  EXPECT_EQ(functions, (Names{"", "f8", "f9"}));
  EXPECT_EQ(trace.frames[1].kind, FrameKind::call);
  EXPECT_EQ(trace.frames[1].trust, Trust::scan);
  EXPECT_FALSE(trace.complete);
}

// __crash_kexec() has undefined rows on purpose; who called it is known by the call.
TEST_F(UnwindX86, WithoutARuleTheCallOfTheFunctionLeadsOn) {
  enter_from_user();
  m.rule(8, orc_call(OrcReg::bp, 16, OrcReg::prev_sp, -16));
  const uint64_t rbp = push(task, 0xbbbb);
  push(task, m.call(8, 7));
  push(task, 1);
  push(task, m.call(20, 21));  // left over from another call
  m.rule(7, OrcRule{});
  Backtrace trace = walk(in(7, task, rbp));
  EXPECT_EQ(functions, (Names{"f7", "f8", "f9"}));
  EXPECT_EQ(trace.frames[1].trust, Trust::inferred);
  EXPECT_EQ(trace.frames[2].trust, Trust::orc) << "rbp was left alone: the call of f8 proves it";
  EXPECT_TRUE(trace.complete);
}

TEST_F(UnwindX86, AGuessedFramePointerMustProveItself) {
  enter_from_user();
  m.rule(8, orc_call(OrcReg::bp, 16, OrcReg::prev_sp, -16));
  push(task, 0xbbbb);
  push(task, m.call(8, 7));
  const uint64_t trap = task.position - 0x40;
  m.machine.put_u64(VirtAddr{task.high - 0x400 + 8}, m.call(20, 21));
  task.position = trap;
  m.rule(7, OrcRule{});
  // f7 has used rbp for something else: 16 bytes above it lies an address, but of no call of f8.
  Backtrace trace = walk(in(7, task, task.high - 0x400));
  EXPECT_EQ(functions, (Names{"f7", "f8", "f9"}));
  EXPECT_EQ(trace.frames[2].trust, Trust::inferred);
}

TEST_F(UnwindX86, TheUnlikelyPartOfAFunctionIsCalledByItsName) {
  enter_from_user();
  m.names[8] = "handler";
  m.names[20] = "handler.cold";
  m.rule(20, OrcRule{});
  m.rule(21, OrcRule{});
  walk(x86_registers(m.function(20, 0x80), task.position - 0x40));
  EXPECT_EQ(functions, (Names{"handler.cold", "f9"}));
}

TEST_F(UnwindX86, ReturnAddressThatIsNoCode) {
  m.rule(8, orc_call(OrcReg::sp, 8));
  push(task, 0x4141414141414141);
  Backtrace trace = walk(in(8, task));
  EXPECT_EQ(functions, (Names{"f8"}));
  EXPECT_NE(trace.end.find("0x4141414141414141"), std::string::npos) << trace.end;
  EXPECT_FALSE(trace.complete);
}

TEST_F(UnwindX86, UnreadableStack) {
  m.rule(8, orc_call(OrcReg::sp, 8));
  m.machine.exclude(m.machine.pfn_of(m.machine.phys(VirtAddr{task.high - 4096})));
  Backtrace trace = walk(x86_registers(m.function(8, 0x80), task.high - 8));
  EXPECT_EQ(trace.frames.size(), 1U);
  EXPECT_NE(trace.end.find("cannot be read"), std::string::npos) << trace.end;
}

TEST_F(UnwindX86, NotMoreFramesThanAskedFor) {
  m.rule(8, orc_call(OrcReg::sp, 8));
  const uint64_t ra = m.call(8, 8);
  for (int i = 0; i < 100; ++i) push(task, ra);
  Backtrace trace = walk(in(8, task), {}, 10);
  EXPECT_EQ(trace.frames.size(), 10U);
  EXPECT_EQ(trace.end, "more than 10 frames");
}

TEST_F(UnwindX86, AnOverflowedStackIsNamedAndScanned) {
  const uint64_t ra = m.call(8, 8);
  for (uint64_t at = task.low.value + 8; at < task.low.value + 0x100; at += 0x20) {
    m.machine.put_u64(VirtAddr{at}, ra);
  }
  Backtrace trace = walk(x86_registers(m.function(8, 0x80), task.low.value - 0x18));
  EXPECT_EQ(trace.frames[0].stack, "task");
  EXPECT_EQ(functions, Names(9, "f8"));
}

}  // namespace
}  // namespace kdk
