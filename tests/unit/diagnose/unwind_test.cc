#include "core/diagnose/unwind.h"

#include <gtest/gtest.h>

#include "tests/unit/diagnose/crashed_machine.h"

namespace kdk {
namespace {

using test::CrashedMachine;
using test::kernel_registers;
using test::StackFrames;
using Names = std::vector<std::string>;

class Unwind : public testing::Test {
 protected:
  void use(test::MachineOptions options = {}) {
    crashed = std::make_unique<CrashedMachine>(options);
    stack = crashed->machine.vmalloc(test::thread_size_4k / crashed->machine.page_size());
    frames = std::make_unique<StackFrames>(crashed->machine, stack, test::thread_size_4k);
    known.ranges = {{stack.value, stack.value + test::thread_size_4k, "task"}};
  }
  void SetUp() override { use(); }
  Backtrace walk(const Registers& start, size_t limit = 256) {
    crashed->open();
    return unwind_from_registers(*crashed->kernel, start, known, {}, limit);
  }
  uint64_t function(unsigned n, uint64_t offset = 0x20) const { return crashed->function(n, offset); }
  // Registers of a function that has stored its record and calls on: x30 is inside itself.
  Registers running(unsigned n, uint64_t fp) {
    return kernel_registers(function(n, 0x40), fp, frames->position().value, function(n, 0x20));
  }

  std::unique_ptr<CrashedMachine> crashed;
  VirtAddr stack;
  std::unique_ptr<StackFrames> frames;
  StackSet known;
};

TEST_F(Unwind, CallsDownToUserMode) {
  uint64_t fp = frames->user_entry();
  fp = frames->record(fp, function(3));
  fp = frames->record(fp, function(2));
  fp = frames->record(fp, function(1));
  Backtrace trace = walk(running(0, fp));
  EXPECT_EQ(crashed->functions_of(trace), (Names{"f0", "f1", "f2", "f3"}));
  EXPECT_EQ(trace.end, "user mode");
  EXPECT_TRUE(trace.complete);
  EXPECT_EQ(trace.frames[0].trust, Trust::registers);
  EXPECT_FALSE(trace.frames[0].pc_is_return_address);
  EXPECT_EQ(trace.frames[0].stack, "task");
  EXPECT_EQ(trace.frames[1].trust, Trust::frame_record);
  EXPECT_TRUE(trace.frames[1].pc_is_return_address);
  EXPECT_EQ(trace.frames[1].at, fp);
  EXPECT_EQ(trace.frames[1].stack, "task");
}

TEST_F(Unwind, CallsDownToThreadStart) {
  uint64_t fp = frames->record(frames->thread_start(), function(1));
  Backtrace trace = walk(running(0, fp));
  EXPECT_EQ(trace.end, "thread start");
  EXPECT_TRUE(trace.complete);
}

TEST_F(Unwind, OlderKernelsEndWithZeroFramePointer) {
  uint64_t fp = frames->record(0, function(1));
  Backtrace trace = walk(running(0, fp));
  EXPECT_EQ(crashed->functions_of(trace), (Names{"f0", "f1"}));
  EXPECT_TRUE(trace.complete);
}

TEST_F(Unwind, ExceptionIsProvenByItsRegisters) {
  uint64_t fp = frames->record(frames->user_entry(), function(4));
  Registers interrupted =
      kernel_registers(function(3, 0x30), fp, frames->position().value, function(3, 0x20));
  uint64_t boundary = frames->pt_regs(interrupted, 304, fp, function(3, 0x30));
  fp = frames->record(boundary, function(2));
  Backtrace trace = walk(running(1, fp));
  EXPECT_EQ(crashed->functions_of(trace), (Names{"f1", "f2", "f3", "f4"}));
  const Frame& frame = trace.frames[2];
  EXPECT_EQ(frame.kind, FrameKind::exception);
  EXPECT_EQ(frame.trust, Trust::registers);
  EXPECT_EQ(frame.at, boundary - 304);
  EXPECT_FALSE(frame.pc_is_return_address);
  ASSERT_TRUE(frame.registers);
  EXPECT_EQ(frame.registers->get(5), 0x1005u);
  EXPECT_EQ(trace.frames[3].kind, FrameKind::call);
  EXPECT_TRUE(trace.complete);
}

// The proof must be the registers: the same record without them is a call.
TEST_F(Unwind, ARecordWithOtherRegistersIsACall) {
  uint64_t fp = frames->record(frames->user_entry(), function(4));
  Registers other = kernel_registers(function(5, 0x30), fp, frames->position().value);
  uint64_t boundary = frames->pt_regs(other, 304, fp, function(3, 0x30));
  Backtrace trace = walk(running(1, frames->record(boundary, function(2))));
  EXPECT_EQ(crashed->functions_of(trace), (Names{"f1", "f2", "f3", "f4"}));
  EXPECT_EQ(trace.frames[2].kind, FrameKind::call);
  EXPECT_TRUE(trace.frames[2].pc_is_return_address);
}

TEST_F(Unwind, RegistersWithAStackPointerElsewhereProveNothing) {
  uint64_t fp = frames->record(frames->user_entry(), function(4));
  Registers wrong_sp = kernel_registers(function(3, 0x30), fp, stack.value);
  uint64_t boundary = frames->pt_regs(wrong_sp, 304, fp, function(3, 0x30));
  Backtrace trace = walk(running(1, frames->record(boundary, function(2))));
  EXPECT_EQ(trace.frames[2].kind, FrameKind::call);
}

TEST_F(Unwind, MetadataRecordsOfNewerKernels) {
  uint64_t fp = frames->record(frames->user_entry(296, 1), function(4));
  Registers interrupted =
      kernel_registers(function(3, 0x30), fp, frames->position().value, function(3, 0x20));
  fp = frames->record(frames->pt_regs(interrupted, 296, 0, 0, 2), function(2));
  Backtrace trace = walk(running(1, fp));
  EXPECT_EQ(crashed->functions_of(trace), (Names{"f1", "f2", "f3", "f4"}));
  EXPECT_EQ(trace.frames[2].kind, FrameKind::exception);
  EXPECT_EQ(trace.end, "user mode");
  EXPECT_TRUE(trace.complete);
}

TEST_F(Unwind, OffsetOfTheRecordFromTypes) {
  crashed->machine.offset("pt_regs.stackframe", 288);
  uint64_t fp = frames->record(frames->user_entry(288), function(4));
  Registers interrupted =
      kernel_registers(function(3, 0x30), fp, frames->position().value, function(3, 0x20));
  fp = frames->record(frames->pt_regs(interrupted, 288, fp, function(3, 0x30)), function(2));
  EXPECT_EQ(walk(running(1, fp)).frames[2].kind, FrameKind::exception);
}

// Before v6.13 the word behind the final record is whatever was there.
TEST_F(Unwind, AStaleTypeWordBehindAFinalRecord) {
  uint64_t fp = frames->record(frames->user_entry(304, 2), function(1));
  Backtrace trace = walk(running(0, fp));
  EXPECT_EQ(trace.frames.size(), 2u);
  EXPECT_EQ(trace.end, "user mode");
}

TEST_F(Unwind, FromTheIrqStackToTheTaskStack) {
  VirtAddr irq = crashed->machine.vmalloc(4);
  known.ranges.push_back({irq.value, irq.value + test::thread_size_4k, "irq"});
  uint64_t fp = frames->record(frames->thread_start(), function(3));
  StackFrames on_irq(crashed->machine, irq, test::thread_size_4k);
  fp = on_irq.record(fp, function(2));
  fp = on_irq.record(fp, function(1));
  Backtrace trace = walk(kernel_registers(function(0), fp, on_irq.position().value, function(0)));
  EXPECT_EQ(crashed->functions_of(trace), (Names{"f0", "f1", "f2", "f3"}));
  EXPECT_EQ(trace.frames[0].stack, "irq");
  EXPECT_EQ(trace.frames[2].stack, "irq");
  EXPECT_EQ(trace.frames[3].stack, "task");
  EXPECT_TRUE(trace.complete);
}

TEST_F(Unwind, AStackOnceLeftIsNotEnteredAgain) {
  VirtAddr irq = crashed->machine.vmalloc(4);
  known.ranges.push_back({irq.value, irq.value + test::thread_size_4k, "irq"});
  StackFrames on_irq(crashed->machine, irq, test::thread_size_4k);
  uint64_t back = on_irq.record(0, function(4));
  uint64_t fp = frames->record(back, function(3));
  fp = on_irq.record(fp, function(2));
  Backtrace trace = walk(kernel_registers(function(0), fp, on_irq.position().value, function(0)));
  EXPECT_EQ(crashed->functions_of(trace), (Names{"f0", "f2", "f3"}));
  EXPECT_FALSE(trace.complete);
  EXPECT_NE(trace.end.find("back into the irq stack"), std::string::npos) << trace.end;
}

TEST_F(Unwind, LoopsEnd) {
  uint64_t low = frames->push(64).value;
  crashed->machine.put_u64(VirtAddr{low}, low);
  crashed->machine.put_u64(VirtAddr{low + 8}, function(1));
  Backtrace trace = walk(running(0, low));
  EXPECT_EQ(trace.frames.size(), 2u);
  EXPECT_FALSE(trace.complete);
}

TEST_F(Unwind, DownwardsIsRefused) {
  uint64_t upper = frames->push(16).value, lower = frames->push(16).value;
  for (auto [at, fp] : {std::pair(upper, lower), std::pair(lower, upper)}) {
    crashed->machine.put_u64(VirtAddr{at}, fp);
    crashed->machine.put_u64(VirtAddr{at + 8}, function(1));
  }
  Backtrace trace = walk(running(0, lower));
  EXPECT_EQ(trace.frames.size(), 3u);
  EXPECT_FALSE(trace.complete);
}

TEST_F(Unwind, TheLimitHolds) {
  uint64_t fp = 0;
  for (int i = 0; i < 300; ++i) fp = frames->record(fp, function(1));
  Backtrace trace = walk(running(0, fp), 100);
  EXPECT_EQ(trace.frames.size(), 100u);
  EXPECT_EQ(trace.end, "more than 100 frames");
  EXPECT_FALSE(trace.complete);
}

TEST_F(Unwind, BadFramePointersSayWhy) {
  crashed->open();
  auto end_of = [&](uint64_t fp) {
    return unwind_from_registers(*crashed->kernel, running(0, fp), known).end;
  };
  EXPECT_NE(end_of(stack.value + 4).find("not aligned"), std::string::npos);
  EXPECT_NE(end_of(stack.value - 64).find("not mapped"), std::string::npos);
  EXPECT_EQ(end_of(0), "no frame pointer");
  EXPECT_NE(end_of(stack.value + test::thread_size_4k - 8).find("frame record at"), std::string::npos);
}

TEST_F(Unwind, AnExcludedStackPageIsNamed) {
  uint64_t fp = frames->record(frames->user_entry(), function(2));
  crashed->machine.exclude(crashed->machine.pfn_of(crashed->machine.phys(VirtAddr{fp})));
  Backtrace trace = walk(running(0, fp));
  EXPECT_EQ(trace.frames.size(), 1u);
  EXPECT_NE(trace.end.find("excluded"), std::string::npos) << trace.end;
}

TEST_F(Unwind, BoundsAreInferredWhereNoStackIsKnown) {
  known.ranges.clear();
  uint64_t fp = frames->record(frames->user_entry(), function(1));
  Backtrace trace = walk(running(0, fp));
  EXPECT_EQ(trace.frames[1].stack, "?");
  EXPECT_EQ(trace.end, "user mode");
  EXPECT_TRUE(trace.complete);
}

TEST_F(Unwind, AnEmptyRecordInTheMiddleIsNotTheEnd) {
  frames->push(4096);
  uint64_t fp = frames->record(frames->record(0, 0), function(1));
  Backtrace trace = walk(running(0, fp));
  EXPECT_FALSE(trace.complete);
  EXPECT_NE(trace.end.find("below the top"), std::string::npos) << trace.end;
}

TEST_F(Unwind, PointerAuthenticationIsStripped) {
  use({.pac_mask = 0x007f000000000000});
  uint64_t fp = frames->record(frames->user_entry(), function(2) & ~0x002a000000000000);
  Backtrace trace = walk(running(0, fp));
  EXPECT_EQ(trace.frames[1].pc, function(2));
  EXPECT_EQ(crashed->functions_of(trace), (Names{"f0", "f2"}));
}

TEST_F(Unwind, CallThroughNullNamesTheCaller) {
  uint64_t fp = frames->record(frames->user_entry(), function(4));
  crashed->machine.put_u32(VirtAddr{function(3, 0x1c)}, 0xd63f0000 | 8 << 5);  // blr x8
  Registers at_null = kernel_registers(0, fp, frames->position().value, function(3, 0x20));
  fp = frames->record(frames->pt_regs(at_null, 304, fp, 0), function(2));
  Backtrace trace = walk(running(1, fp));
  EXPECT_EQ(crashed->functions_of(trace), (Names{"f1", "f2", "", "f3", "f4"}));
  EXPECT_EQ(trace.frames[2].pc, 0u);
  EXPECT_EQ(trace.frames[2].kind, FrameKind::exception);
  EXPECT_EQ(trace.frames[3].kind, FrameKind::bad_call);
  EXPECT_TRUE(trace.frames[3].pc_is_return_address);
  EXPECT_TRUE(trace.complete);
}

// LKDTM's EXEC_VMALLOC: what is mapped there has no name and must not be executed.
TEST_F(Unwind, CallOfDataNamesTheCaller) {
  const VirtAddr data = crashed->machine.vmalloc(1);
  uint64_t fp = frames->record(frames->user_entry(), function(4));
  crashed->machine.put_u32(VirtAddr{function(3, 0x1c)}, 0xd63f0000 | 8 << 5);  // blr x8
  Registers there = kernel_registers(data.value, fp, frames->position().value, function(3, 0x20));
  fp = frames->record(frames->pt_regs(there, 304, fp, data.value), function(2));
  Backtrace trace = walk(running(1, fp));
  EXPECT_EQ(crashed->functions_of(trace), (Names{"f1", "f2", "", "f3", "f4"}));
  EXPECT_EQ(trace.frames[3].kind, FrameKind::bad_call);
  // Code without a name, of BPF for example, has a record of its own.
  for (const Translator::Step& step : crashed->kernel->memory().translator().steps(std::nullopt, data)) {
    crashed->machine.put_phys_u64(step.entry, step.raw & ~(uint64_t{1} << 53 | uint64_t{1} << 59));
  }
  EXPECT_EQ(crashed->functions_of(walk(running(1, fp))), (Names{"f1", "f2", "", "f4"}));
}

TEST_F(Unwind, ALeafsCallerIsALinkRegisterCandidate) {
  uint64_t fp = frames->record(frames->user_entry(), function(4));
  uint64_t call = function(3, 0x1c);
  crashed->machine.put_u32(VirtAddr{call}, test::bl_forward | ((function(2, 0) - call) / 4 & 0x3ffffff));
  Registers leaf = kernel_registers(function(2, 0x8), fp, frames->position().value, function(3, 0x20));
  Backtrace trace = walk(leaf);
  EXPECT_EQ(crashed->functions_of(trace), (Names{"f2", "f3", "f4"}));
  EXPECT_EQ(trace.frames[1].kind, FrameKind::lr_candidate);
  EXPECT_EQ(trace.frames[1].trust, Trust::inferred);
}

TEST_F(Unwind, AStaleLinkRegisterIsNoCandidate) {
  uint64_t fp = frames->record(frames->user_entry(), function(4));
  uint64_t call = function(3, 0x1c);
  // x30 follows a call, but to another function than the interrupted one.
  crashed->machine.put_u32(VirtAddr{call}, test::bl_forward | ((function(6, 0) - call) / 4 & 0x3ffffff));
  EXPECT_EQ(
      walk(kernel_registers(function(2, 0x8), fp, frames->position().value, function(3, 0x20))).frames.size(),
      2u);
}

TEST_F(Unwind, AStoredLinkRegisterIsNotGivenTwice) {
  uint64_t call = function(3, 0x1c);
  crashed->machine.put_u32(VirtAddr{call}, test::bl_forward | ((function(2, 0) - call) / 4 & 0x3ffffff));
  uint64_t fp = frames->record(frames->user_entry(), function(3, 0x20));
  Backtrace trace = walk(kernel_registers(function(2, 0x8), fp, frames->position().value, function(3, 0x20)));
  EXPECT_EQ(crashed->functions_of(trace), (Names{"f2", "f3"}));
  EXPECT_EQ(trace.frames[1].kind, FrameKind::call);
}

TEST_F(Unwind, UserModeIsNotUnwound) {
  Registers user = kernel_registers(0xaaaa0000, 0xffff0000, 0xffff0000);
  user.set(test::pstate, 0);
  Backtrace trace = walk(user);
  EXPECT_TRUE(trace.frames.empty());
  EXPECT_EQ(trace.end, "user mode");
  EXPECT_TRUE(trace.complete);
}

TEST_F(Unwind, RegistersWithoutProgramCounter) {
  EXPECT_EQ(walk(Registers{}).end, "the registers have no program counter");
}

TEST_F(Unwind, SymbolsOfReturnAddressesAreTheCallers) {
  // A call that never returns is the last instruction of f1: its return address is f2's first byte.
  uint64_t fp = frames->record(frames->user_entry(), function(2, 0));
  Backtrace trace = walk(running(0, fp));
  symbolise(*crashed->kernel, trace);
  EXPECT_EQ(trace.frames[1].symbol, "f1");
  EXPECT_EQ(trace.frames[1].symbol_offset, 0x100u);
  EXPECT_EQ(trace.frames[1].symbol_size, 0x100u);
  EXPECT_EQ(trace.frames[1].image_offset, 0x200u);
}

TEST_F(Unwind, OtherPageSizes) {
  for (uint32_t page_size : {16384u, 65536u}) {
    use({.page_size = page_size, .va_bits = page_size == 16384 ? 47u : 48u});
    if (page_size == 65536) {
      stack = crashed->machine.vmalloc(1);
      frames = std::make_unique<StackFrames>(crashed->machine, stack, 65536);
    }
    known.ranges.clear();
    uint64_t fp = frames->record(frames->record(frames->user_entry(), function(2)), function(1));
    Backtrace trace = walk(running(0, fp));
    EXPECT_EQ(crashed->functions_of(trace), (Names{"f0", "f1", "f2"})) << page_size;
    EXPECT_TRUE(trace.complete) << page_size;
  }
}

TEST_F(Unwind, SleepingTasksContinueBehindTheSwitch) {
  uint64_t fp = frames->record(frames->user_entry(), function(2));
  const VirtAddr task = crashed->machine.alloc(0x200);
  crashed->machine.offset("task_struct.thread.cpu_context", 0x40);
  crashed->machine.offset("task_struct.stack", 0x20);
  crashed->machine.put_u64(task + 0x20, stack.value);
  for (unsigned i = 0; i < 10; ++i) crashed->machine.put_u64(task + 0x40 + i * 8, 0x1900 + i);
  crashed->machine.put_u64(task + 0x40 + 80, fp);
  crashed->machine.put_u64(task + 0x40 + 88, frames->position().value);
  crashed->machine.put_u64(task + 0x40 + 96, function(1));
  crashed->open();
  const std::optional<Registers> registers = sleeping_task_registers(*crashed->kernel, task);
  ASSERT_TRUE(registers);
  EXPECT_EQ(registers->get(19), 0x1900);
  EXPECT_EQ(registers->get(28), 0x1909);
  EXPECT_FALSE(registers->get(0)) << "not saved";
  Backtrace trace = unwind_from_registers(*crashed->kernel, *registers, task_stack(*crashed->kernel, task));
  EXPECT_EQ(crashed->functions_of(trace), (Names{"f1", "f2"}));
  EXPECT_TRUE(trace.complete) << trace.end;
}

}  // namespace
}  // namespace kdk
