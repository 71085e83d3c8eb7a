// The walk where the dump has no ORC rows: frame pointers, scans, and what a vmlinux knows.
#include "tests/unit/diagnose/unwind_x86_64_fixture.h"

namespace kdk {
namespace {

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

}  // namespace
}  // namespace kdk
