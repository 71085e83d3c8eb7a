// Call frame information assembled by hand, over a synthetic machine's memory.
#include "analyze/unwind/cfi.h"

#include <dwarf.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "core/arch/x86_64.h"
#include "core/kernel/kernel.h"
#include "tests/support/dump_builder.h"
#include "tests/unit/analyze/elf_builder.h"
#include "tests/unit/analyze/frame_section.h"

namespace kdk {
namespace {

using test::Code;
using test::FrameSection;
constexpr uint64_t linked = 0xffffffff81000000;
constexpr uint64_t moved = 0x12600000;  // KASLR offset

// An expression with its length before it, as the instructions want it.
Code block(Code prefix, const Code& expression) {
  prefix.push_back(static_cast<uint8_t>(expression.size()));
  prefix.insert(prefix.end(), expression.begin(), expression.end());
  return prefix;
}
Code operator+(Code left, const Code& right) {
  left.insert(left.end(), right.begin(), right.end());
  return left;
}

class X86CallFrames : public testing::Test {
 protected:
  X86CallFrames() : machine({.x86_64 = test::X86_64Options{}}) {
    using namespace x86_64_reg;
    path = std::filesystem::path(testing::TempDir()) / ("kdk-cfi-" + std::to_string(getpid()));
    stack = machine.alloc(4096);
    for (size_t i = 0; i < 17; ++i) frame.set(i, 0x1000 + i);
    frame.set(rsp, stack.value);
    normal = section.cie("", 16, {DW_CFA_def_cfa, 7, 8, DW_CFA_offset | 16, 1});
  }
  ~X86CallFrames() override { std::filesystem::remove(path); }

  // A function at linked + offset, 0x40 bytes long.
  void function(uint64_t offset, const Code& code) { section.fde(normal, linked + offset, 0x40, code); }

  std::optional<CallFrameInfo::Caller> caller(uint64_t offset, bool is_return_address = false) {
    test::ElfBuilder elf(62);  // EM_X86_64
    elf.section({.name = ".debug_frame", .bytes = section.bytes()});
    test::write_bytes(path, elf.bytes());
    VmlinuxFile file(path);
    DwarfCallFrames frames(file, moved);
    dump = machine.open();
    KernelMemory memory(*dump);
    frame.set(x86_64_reg::rip, linked + moved + offset);
    return frames.caller(memory, frame, is_return_address);
  }

  test::DumpBuilder machine;
  std::filesystem::path path;
  FrameSection section;
  uint32_t normal = 0;
  VirtAddr stack;
  Registers frame;
  std::unique_ptr<Dump> dump;
};

TEST_F(X86CallFrames, RulesChangeAlongTheFunction) {
  using namespace x86_64_reg;
  function(0x1000, {DW_CFA_advance_loc | 1, DW_CFA_def_cfa_offset, 16, DW_CFA_offset | 6, 2,
                    DW_CFA_advance_loc | 3, DW_CFA_def_cfa_register, 6});
  machine.put_u64(stack, linked + moved + 0x2222);
  auto at_entry = caller(0x1000);
  ASSERT_TRUE(at_entry);
  EXPECT_EQ(at_entry->registers.get(rip), linked + moved + 0x2222);
  EXPECT_EQ(at_entry->registers.get(rsp), stack.value + 8);
  EXPECT_EQ(at_entry->registers.get(rbp), 0x1000u + rbp);  // not touched yet
  EXPECT_EQ(at_entry->registers.get(r15), 0x1000u + r15);
  EXPECT_EQ(at_entry->registers.get(rbx), 0x1000u + rbx);
  EXPECT_FALSE(at_entry->registers.get(rax));  // the callee may use it
  EXPECT_FALSE(at_entry->interrupted);
  EXPECT_FALSE(at_entry->outermost);

  // Behind "mov %rsp, %rbp" the stack pointer no longer matters.
  machine.put_u64(stack + 0x100, 0xabcd);
  machine.put_u64(stack + 0x108, linked + moved + 0x3333);
  frame.set(rsp, 0x10);
  frame.set(rbp, stack.value + 0x100);
  auto in_body = caller(0x1004);
  ASSERT_TRUE(in_body);
  EXPECT_EQ(in_body->registers.get(rip), linked + moved + 0x3333);
  EXPECT_EQ(in_body->registers.get(rbp), 0xabcdu);
  EXPECT_EQ(in_body->registers.get(rsp), stack.value + 0x110);
}

// A call that does not return ends its function: its return address is the first byte of the next one.
TEST_F(X86CallFrames, AReturnAddressIsLookedUpAtItsCall) {
  using namespace x86_64_reg;
  function(0x1000, {DW_CFA_def_cfa_offset, 24});
  function(0x1040, {});
  machine.put_u64(stack, linked + 1);
  machine.put_u64(stack + 16, linked + 2);
  EXPECT_EQ(caller(0x1040, false)->registers.get(rip), linked + 1);
  EXPECT_EQ(caller(0x1040, true)->registers.get(rip), linked + 2);
}

TEST_F(X86CallFrames, Expressions) {
  using namespace x86_64_reg;
  // The caller's stack pointer was saved two words up, as where stacks are switched; rbx is a computed value
  // and r12 lies where an expression says.
  function(0x1000, block({DW_CFA_def_cfa_expression}, {DW_OP_breg7, 16, DW_OP_deref, DW_OP_plus_uconst, 8}) +
                       block({DW_CFA_val_expression, 3}, {DW_OP_lit3, DW_OP_const2u, 0x10, 0x02, DW_OP_mul}) +
                       block({DW_CFA_expression, 12}, {DW_OP_lit16, DW_OP_minus}) +
                       Code{DW_CFA_register, 13, 2, DW_CFA_same_value, 14, DW_CFA_undefined, 15});
  machine.put_u64(stack + 16, stack.value + 0x200);
  machine.put_u64(stack + 0x200, linked + moved + 7);  // the return address, below the CFA
  machine.put_u64(stack + 0x208 - 16, 0x1212);
  auto found = caller(0x1008);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->registers.get(rip), linked + moved + 7);
  EXPECT_EQ(found->registers.get(rsp), stack.value + 0x208);
  EXPECT_EQ(found->registers.get(rbx), 3u * 0x210);
  EXPECT_EQ(found->registers.get(r12), 0x1212u);
  EXPECT_EQ(found->registers.get(r13), 0x1000u + rcx);
  EXPECT_EQ(found->registers.get(r14), 0x1000u + r14);
  EXPECT_FALSE(found->registers.get(r15));
}

TEST_F(X86CallFrames, OutermostAndInterruptedFrames) {
  using namespace x86_64_reg;
  function(0x1000, {DW_CFA_undefined, 16});
  auto outermost = caller(0x1000);
  ASSERT_TRUE(outermost);
  EXPECT_TRUE(outermost->outermost);

  uint32_t signal =
      section.cie("S", 16, {DW_CFA_def_cfa, 7, 40, DW_CFA_offset | 16, 5, DW_CFA_offset | 7, 2});
  section.fde(signal, linked + 0x2000, 0x40, {});
  machine.put_u64(stack, linked + moved + 0x55);
  machine.put_u64(stack + 24, 0x7777);  // rsp of what was interrupted
  auto interrupted = caller(0x2000);
  ASSERT_TRUE(interrupted);
  EXPECT_TRUE(interrupted->interrupted);
  EXPECT_EQ(interrupted->registers.get(rip), linked + moved + 0x55);
  EXPECT_EQ(interrupted->registers.get(rsp), 0x7777u);
}

TEST_F(X86CallFrames, WhatCannotBeKnown) {
  using namespace x86_64_reg;
  function(0x1000, {});
  EXPECT_FALSE(caller(0xfff));   // before the function
  EXPECT_FALSE(caller(0x1040));  // behind it
  EXPECT_TRUE(caller(0x1000));
  frame.set(rsp, 0x123456789000);  // not mapped
  EXPECT_FALSE(caller(0x1000));
  frame.known.reset(rsp);
  EXPECT_FALSE(caller(0x1000));
}

// Each is the whole CFA; none may hang, read out of bounds or give a value.
TEST_F(X86CallFrames, ExpressionsThatAreRefused) {
  const std::vector<Code> expressions = {
      {DW_OP_skip, 0xfd, 0xff},                         // jumps to itself for ever
      {DW_OP_lit1, DW_OP_bra, 0xfc, 0xff},              // grows no stack, never ends
      {DW_OP_lit0, DW_OP_dup, DW_OP_skip, 0xfc, 0xff},  // overflows the stack
      {DW_OP_skip, 0x50, 0x00},                         // out of the expression
      {DW_OP_drop},                                     // nothing to drop
      {DW_OP_lit1, DW_OP_plus},                         // one operand is missing
      {DW_OP_lit1, DW_OP_lit0, DW_OP_div},              // division by zero
      {DW_OP_lit1, DW_OP_lit0, DW_OP_mod},              //
      {DW_OP_lit1, DW_OP_pick, 9},                      // below the bottom
      {DW_OP_bregx, 0xff, 0x7f, 0},                     // no such register
      {DW_OP_lit1, DW_OP_deref},                        // unmapped
      {DW_OP_breg7, 0, DW_OP_deref_size, 3},            // no such size
      {DW_OP_call_frame_cfa},                           // of itself
      {DW_OP_push_object_address},                      // means nothing here
  };
  for (size_t i = 0; i < expressions.size(); ++i) {
    function(0x1000 + i * 0x40, block({DW_CFA_def_cfa_expression}, expressions[i]));
  }
  for (size_t i = 0; i < expressions.size(); ++i) EXPECT_FALSE(caller(0x1000 + i * 0x40)) << i;
}

TEST_F(X86CallFrames, Arithmetic) {
  using namespace x86_64_reg;
  struct Case {
    Code expression;
    uint64_t value;
  };
  const std::vector<Case> cases = {
      {{DW_OP_const1s, 0xff, DW_OP_neg}, 1},
      {{DW_OP_const1s, 0xfb, DW_OP_abs}, 5},
      {{DW_OP_lit0, DW_OP_not}, ~uint64_t{0}},
      {{DW_OP_lit6, DW_OP_lit3, DW_OP_and, DW_OP_lit8, DW_OP_or, DW_OP_lit1, DW_OP_xor}, 11},
      {{DW_OP_const1s, 0xf9, DW_OP_lit2, DW_OP_div}, static_cast<uint64_t>(-3)},
      {{DW_OP_lit7, DW_OP_lit4, DW_OP_mod}, 3},
      {{DW_OP_lit1, DW_OP_lit31, DW_OP_shl, DW_OP_lit3, DW_OP_shr}, uint64_t{1} << 28},
      {{DW_OP_const1s, 0x80, DW_OP_lit4, DW_OP_shra}, static_cast<uint64_t>(-8)},
      {{DW_OP_lit1, DW_OP_const1u, 64, DW_OP_shl}, 0},
      {{DW_OP_lit1, DW_OP_lit2, DW_OP_swap, DW_OP_minus}, 1},
      {{DW_OP_lit1, DW_OP_lit2, DW_OP_over, DW_OP_plus, DW_OP_plus}, 4},
      {{DW_OP_lit1, DW_OP_lit2, DW_OP_lit3, DW_OP_rot, DW_OP_drop, DW_OP_minus}, 2},  // 3 1 2 -> 3 1
      {{DW_OP_const1s, 0xff, DW_OP_lit1, DW_OP_lt}, 1},
      {{DW_OP_lit1, DW_OP_lit1, DW_OP_ge, DW_OP_lit1, DW_OP_ne}, 0},
      // Taken and not taken: 5 unless the branch skips its addition.
      {{DW_OP_lit2, DW_OP_lit0, DW_OP_bra, 2, 0, DW_OP_lit3, DW_OP_plus, DW_OP_nop}, 5},
      {{DW_OP_lit2, DW_OP_lit1, DW_OP_bra, 2, 0, DW_OP_lit3, DW_OP_plus, DW_OP_nop}, 2},
      {{DW_OP_addr, 0x10, 0, 0, 0x81, 0xff, 0xff, 0xff, 0xff}, linked + 0x10 + moved},
  };
  for (size_t i = 0; i < cases.size(); ++i) {
    function(0x1000 + i * 0x40, block({DW_CFA_val_expression, 3}, Code{DW_OP_drop} + cases[i].expression));
  }
  for (size_t i = 0; i < cases.size(); ++i) {
    auto found = caller(0x1000 + i * 0x40);
    ASSERT_TRUE(found) << i;
    EXPECT_EQ(found->registers.get(rbx), cases[i].value) << i;
  }
}

// Every byte of the section damaged in turn: an answer or none, but no crash.
TEST_F(X86CallFrames, DamageAnywhere) {
  function(0x1000, block({DW_CFA_def_cfa_expression}, {DW_OP_breg7, 16, DW_OP_deref, DW_OP_plus_uconst, 8}) +
                       Code{DW_CFA_advance_loc | 1, DW_CFA_offset | 3, 3, DW_CFA_remember_state,
                            DW_CFA_restore_state});
  dump = machine.open();
  KernelMemory memory(*dump);
  frame.set(x86_64_reg::rip, linked + moved + 0x1002);
  for (size_t at = 0; at < section.bytes().size(); ++at) {
    for (uint8_t value : {uint8_t{0}, uint8_t{0x7f}, uint8_t{0xff}}) {
      Code damaged = section.bytes();
      damaged[at] = value;
      test::ElfBuilder elf(62);
      elf.section({.name = ".debug_frame", .bytes = damaged});
      test::write_bytes(path, elf.bytes());
      VmlinuxFile file(path);
      DwarfCallFrames(file, moved).caller(memory, frame, true);
    }
  }
}

TEST(Arm64CallFrames, TheReturnAddressComesFromTheLinkRegisterOrTheStack) {
  constexpr size_t x19 = 19, x29 = 29, x30 = 30, sp = 31, pc = 32;
  test::DumpBuilder machine({.pac_mask = 0xffff000000000000});
  VirtAddr stack = machine.alloc(4096);
  FrameSection section;
  uint32_t cie = section.cie("", 30, {DW_CFA_def_cfa, 31, 0});
  const uint64_t begin = 0xffff800080010000;
  section.fde(cie, begin, 0x40,
              {DW_CFA_advance_loc | 4, DW_CFA_def_cfa_offset, 32, DW_CFA_offset | 29, 4, DW_CFA_offset | 30,
               3, DW_CFA_offset | 19, 2});
  std::filesystem::path path =
      std::filesystem::path(testing::TempDir()) / ("kdk-cfi-a64-" + std::to_string(getpid()));
  test::ElfBuilder elf;
  elf.section({.name = ".debug_frame", .bytes = section.bytes()});
  test::write_bytes(path, elf.bytes());
  VmlinuxFile file(path);
  DwarfCallFrames frames(file, 0);
  machine.put_u64(stack, 0x2929);
  machine.put_u64(stack + 8, (machine.stext().value & 0x0000ffffffffffff) |
                                 uint64_t{0x1284} << 48);  // signed: the mask is stripped
  machine.put_u64(stack + 16, 0x1919);
  auto dump = machine.open();
  KernelMemory memory(*dump);
  Registers frame;
  for (size_t i = 0; i < 34; ++i) frame.set(i, 0x100 + i);
  frame.set(sp, stack.value);
  frame.set(x30, machine.stext().value + 4);

  frame.set(pc, begin);  // a leaf, still
  auto leaf = frames.caller(memory, frame, false);
  ASSERT_TRUE(leaf);
  EXPECT_EQ(leaf->registers.get(pc), machine.stext().value + 4);
  EXPECT_EQ(leaf->registers.get(sp), stack.value);
  EXPECT_EQ(leaf->registers.get(x29), 0x100u + x29);
  EXPECT_FALSE(leaf->registers.get(x30));  // the call overwrote it

  frame.set(pc, begin + 8);
  auto stored = frames.caller(memory, frame, false);
  ASSERT_TRUE(stored);
  EXPECT_EQ(stored->registers.get(pc), machine.stext().value);
  EXPECT_EQ(stored->registers.get(sp), stack.value + 32);
  EXPECT_EQ(stored->registers.get(x29), 0x2929u);
  EXPECT_EQ(stored->registers.get(x19), 0x1919u);

  // Rules of another architecture's file mean nothing.
  test::DumpBuilder other({.x86_64 = test::X86_64Options{}});
  auto other_dump = other.open();
  KernelMemory other_memory(*other_dump);
  frame.set(x86_64_reg::rip, begin);
  EXPECT_FALSE(frames.caller(other_memory, frame, false));
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace kdk
