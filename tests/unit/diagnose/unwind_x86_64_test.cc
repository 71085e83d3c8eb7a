#include <gtest/gtest.h>

#include <array>
#include <utility>

#include "core/diagnose/orc.h"
#include "tests/unit/diagnose/x86_64_machine.h"

namespace kdk {
namespace {

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
  ASSERT_GE(trace.frames.size(), 2U);
  EXPECT_EQ(trace.frames[1].kind, FrameKind::bad_call);
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

// --- frame pointers

class UnwindX86FramePointers : public UnwindX86 {
 protected:
  // fn keeps a frame record.
  void keeps_record(unsigned n) { m.code(n, {0xf3, 0x0f, 0x1e, 0xfa, 0x55, 0x48, 0x89, 0xe5}); }
  uint64_t record(Stack& stack, uint64_t rbp, uint64_t return_address) {
    push(stack, return_address);
    return push(stack, rbp);
  }
};

TEST_F(UnwindX86FramePointers, RecordsDownToUserMode) {
  const uint64_t user = push_registers(task, test::x86_user_registers());
  for (unsigned n : {6, 7, 8}) keeps_record(n);
  uint64_t rbp = record(task, user + 1, m.call(9, 8));  // entry code marks its pt_regs
  rbp = record(task, rbp, m.call(8, 7));
  rbp = record(task, rbp, m.indirect_call(7));
  task.position -= 0x20;
  Backtrace trace = walk(in(6, task, rbp));
  EXPECT_EQ(functions, (Names{"f6", "f7", "f8", "f9"}));
  EXPECT_EQ(trace.frames[1].trust, Trust::frame_record);
  EXPECT_EQ(trace.end, "user mode");
  EXPECT_TRUE(trace.complete);
  EXPECT_TRUE(trace.problems.empty());
}

TEST_F(UnwindX86FramePointers, MarkedRegistersAreAnException) {
  for (unsigned n : {4, 7}) keeps_record(n);
  const uint64_t user = push_registers(task, test::x86_user_registers());
  uint64_t rbp = record(task, user + 1, m.call(9, 7));
  const uint64_t regs = push_registers(task, x86_registers(m.function(7, 0x20), task.position, rbp));
  rbp = record(task, regs + 1, m.call(5, 4));
  Backtrace trace = walk(in(4, task, rbp));
  EXPECT_EQ(functions, (Names{"f4", "f5", "f7", "f9"}));
  EXPECT_EQ(trace.frames[2].kind, FrameKind::exception);
  EXPECT_TRUE(trace.complete);
}

TEST_F(UnwindX86FramePointers, InterruptedBeforeTheRecordIsComplete) {
  struct Case {
    uint64_t offset;
    bool pushed;
  };
  for (auto [offset, pushed] : {Case{0, false}, Case{4, false}, Case{5, true}}) {
    m = test::X86Machine();
    known.ranges.clear();
    task = make_stack("task");
    keeps_record(7);
    keeps_record(8);
    const uint64_t user = push_registers(task, test::x86_user_registers());
    const uint64_t rbp = record(task, user + 1, m.call(9, 8));
    push(task, m.call(8, 7));
    if (pushed) push(task, rbp);
    walk(x86_registers(m.function(7, offset), task.position, rbp));
    EXPECT_EQ(functions, (Names{"f7", "f8", "f9"})) << offset;
  }
}

TEST_F(UnwindX86FramePointers, NotWhereTheFunctionKeepsNone) {
  // f8 has no such prologue: what rbp points at is not its record.
  const uint64_t rbp = record(task, 0, m.call(20, 21));
  push(task, m.call(9, 8));
  Backtrace trace = walk(in(8, task, rbp));
  ASSERT_GE(functions.size(), 2U);
  EXPECT_EQ(functions[1], "f9");
  EXPECT_EQ(trace.frames[1].trust, Trust::inferred);
}

// --- scan

TEST_F(UnwindX86, AScanSaysWhatItIs) {
  push_registers(task, test::x86_user_registers());
  push(task, m.call(9, 8));
  push(task, 1);
  push(task, m.indirect_call(8));
  push(task, m.function(5, 0x30));  // text, but behind no call
  push(task, 2);
  Backtrace trace = walk(in(7, task));
  EXPECT_EQ(functions, (Names{"f7", "f8", "f9"}));
  EXPECT_EQ(trace.frames[1].trust, Trust::scan);
  EXPECT_EQ(trace.frames[2].trust, Trust::scan) << "what follows from a guess is one";
  EXPECT_EQ(trace.end, "user mode");
  EXPECT_FALSE(trace.complete);
  ASSERT_EQ(trace.problems.size(), 1U);
  EXPECT_NE(trace.problems[0].find("no symbols of ORC tables"), std::string::npos) << trace.problems[0];
}

TEST_F(UnwindX86, AScanFindsTheInterruptFrameAndTheNextStack) {
  Stack irq = make_stack("irq");
  push_registers(task, test::x86_user_registers());
  push(task, m.call(9, 8));
  push_registers(task, x86_registers(m.function(8, 0x20), task.position));
  push(task, m.indirect_call(7));
  push(irq, task.position);
  push(irq, m.indirect_call(6));
  push(irq, 1);
  Backtrace trace = walk(in(5, irq));
  EXPECT_EQ(functions, (Names{"f5", "f6", "f7", "f8", "f9"}));
  EXPECT_EQ(trace.frames[3].kind, FrameKind::exception);
  EXPECT_EQ(trace.frames[3].trust, Trust::registers) << "proven by form and place";
  EXPECT_EQ(trace.frames[4].trust, Trust::inferred);
  EXPECT_TRUE(trace.frames[3].registers->get(r::rbx));
}

TEST_F(UnwindX86, WordsThatOnlyLookLikeAnInterruptFrame) {
  push(task, m.indirect_call(9));
  task.position -= 0x100;
  const uint64_t at = task.position - 40;
  // rsp does not lie where the CPU would have pushed from.
  m.interrupt_frame(VirtAddr{at}, x86_registers(m.function(8, 0x20), task.high - 0x20));
  task.position = at - 0x100;
  walk(in(7, task));
  EXPECT_EQ(functions, (Names{"f7", "f9"}));
}

// --- aids

TEST_F(UnwindX86, OrcOfVmlinuxWhereTheDumpHasNoRows) {
  enter_from_user();
  m.rule(8, orc_call(OrcReg::sp, 8));
  const std::vector<std::pair<uint64_t, OrcRule>> rules(m.rules.begin(), m.rules.end());
  const test::OrcBytes bytes = test::orc_table(rules, OrcFormat::v3, 0xffffffff85000000);
  const std::vector<uint8_t> header = test::orc_header(OrcFormat::v3);
  const auto table = OrcTable::from_sections({0xffffffff85000000, bytes.ips, bytes.rows, header});
  ASSERT_TRUE(table);
  m.orc_excluded = true;
  Backtrace trace = walk(in(8, task), {.orc = table.get()});
  EXPECT_EQ(functions, (Names{"f8", "f9"}));
  EXPECT_EQ(trace.frames[1].trust, Trust::orc);
  EXPECT_TRUE(trace.complete);
}

class FakeCfi : public CallFrameInfo {
 public:
  std::optional<Caller> caller(KernelMemory& memory, const Registers& frame, bool is_return) override {
    asked.emplace_back(*frame.get(r::rip), is_return);
    const uint64_t rsp = *frame.get(r::rsp);
    if (outermost) return Caller{.registers = {}, .interrupted = false, .outermost = true};
    const std::optional<uint64_t> address = memory.u64(VirtAddr{rsp + 8});
    if (!address) return std::nullopt;
    Caller caller;
    caller.registers.set(r::rip, *address);
    caller.registers.set(r::rsp, rsp + offset);
    return caller;
  }
  std::vector<std::pair<uint64_t, bool>> asked;
  uint64_t offset = 16;
  bool outermost = false;
};

TEST_F(UnwindX86, CallFrameInformationWhereOrcSaysNothing) {
  enter_from_user();
  m.rule(8, orc_call(OrcReg::sp, 8));
  push(task, m.call(8, 7));
  push(task, 1);
  m.rule(7, OrcRule{});
  FakeCfi cfi;
  Backtrace trace = walk(in(7, task), {.cfi = &cfi});
  EXPECT_EQ(functions, (Names{"f7", "f8", "f9"}));
  EXPECT_EQ(trace.frames[1].trust, Trust::cfi);
  EXPECT_EQ(trace.frames[2].trust, Trust::orc) << "ORC comes first";
  ASSERT_EQ(cfi.asked.size(), 1U);
  EXPECT_EQ(cfi.asked[0], std::pair(m.function(7, 0x80), false));
}

TEST_F(UnwindX86, CallFrameInformationThatStandsStillOrGoesDown) {
  FakeCfi cfi;
  cfi.offset = 0;
  for (int i = 0; i < 8; ++i) push(task, m.call(8, 7));
  Backtrace trace = walk(in(7, task), {.cfi = &cfi}, 50);
  EXPECT_LT(trace.frames.size(), 20U);
  EXPECT_FALSE(trace.complete);
}

TEST_F(UnwindX86, CallFrameInformationMayKnowTheEnd) {
  FakeCfi cfi;
  cfi.outermost = true;
  Backtrace trace = walk(in(7, task), {.cfi = &cfi});
  EXPECT_EQ(trace.end, "thread start");
  EXPECT_TRUE(trace.complete);
}

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
