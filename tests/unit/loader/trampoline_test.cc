#include "loader/arch/trampoline.h"

#include <gtest/gtest.h>

#include <map>

#include "core/base/bytes.h"

namespace kdk {
namespace {

// Runs the trampoline on a five-instruction model of the CPU: what it decodes is the A64 encoding itself (Arm
// ARM, C6.2: LDR literal, MOV register = ORR, BR), so a wrong bit in a constant is an unknown instruction or
// a wrong register.
struct Cpu {
  std::array<uint64_t, 31> x{};
  uint64_t pc = 0;

  // Executes until a branch leaves [base, base + code.size()); false on an unknown instruction.
  bool run(const std::vector<uint8_t>& code, uint64_t base) {
    pc = base;
    for (int steps = 0; steps < 100; ++steps) {
      std::optional<ul32> word = load<ul32>(code, pc - base);
      if (!word) return pc - base >= code.size();
      uint32_t op = *word;
      uint32_t rd = op & 31;
      if ((op & 0xff000000) == 0x58000000) {  // ldr xd, literal
        int64_t offset = static_cast<int64_t>(static_cast<int32_t>(op << 8) >> 13) * 4;
        std::optional<ul64> value = load<ul64>(code, pc - base + static_cast<uint64_t>(offset));
        if (!value || rd == 31) return false;
        x[rd] = *value;
      } else if ((op & 0xffe0ffe0) == 0xaa0003e0) {  // mov xd, xm
        uint32_t rm = (op >> 16) & 31;
        if (rd == 31) return false;
        x[rd] = rm == 31 ? 0 : x[rm];
      } else if ((op & 0xfffffc1f) == 0xd61f0000) {  // br xn
        pc = x[(op >> 5) & 31];
        return true;
      } else {
        return false;
      }
      pc += 4;
    }
    return false;
  }
};

TEST(Trampoline, EntersTheKernelAsTheBootProtocolWants) {
  for (uint64_t base : {uint64_t{0}, uint64_t{0x7abe0000}, uint64_t{0x840010000}}) {  // position independent
    std::vector<uint8_t> code = make_trampoline(0x123456789abcde00, 0xfedcba9876540000);
    ASSERT_EQ(code.size(), trampoline_size);
    Cpu cpu;
    cpu.x.fill(0xdeadbeef);
    ASSERT_TRUE(cpu.run(code, base));
    EXPECT_EQ(cpu.pc, 0xfedcba9876540000u);
    EXPECT_EQ(cpu.x[0], 0x123456789abcde00u);
    EXPECT_EQ(cpu.x[1], 0u);
    EXPECT_EQ(cpu.x[2], 0u);
    EXPECT_EQ(cpu.x[3], 0u);
  }
}

}  // namespace
}  // namespace kdk
