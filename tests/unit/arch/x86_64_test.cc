#include "core/arch/x86_64.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "core/arch/arch.h"

namespace kdk {
namespace {

namespace r = x86_64_reg;

// struct pt_regs and user_regs_struct hold the registers in this order (arch/x86/entry/calling.h).
constexpr std::array<std::string_view, 27> saved = {
    "r15",    "r14", "r13", "r12",     "rbp",     "rbx", "r11",      "r10", "r9",
    "r8",     "rax", "rcx", "rdx",     "rsi",     "rdi", "orig_rax", "rip", "cs",
    "rflags", "rsp", "ss",  "fs_base", "gs_base", "ds",  "es",       "fs",  "gs"};

std::vector<uint8_t> numbered(size_t registers, size_t offset) {
  std::vector<uint8_t> bytes(offset + registers * 8);
  for (size_t i = 0; i < registers; ++i) store(MutableBytes(bytes), offset + i * 8, ul64(0x1000 + i));
  return bytes;
}

std::optional<uint64_t> named(const Registers& regs, std::string_view name) {
  const auto names = x86_64().register_names();
  const auto at = std::ranges::find(names, name);
  return at == names.end() ? std::nullopt : regs.get(static_cast<size_t>(at - names.begin()));
}

TEST(X86_64, IsFoundByElfAndUtsMachine) {
  EXPECT_EQ(find_arch(uint16_t{62}), &x86_64());
  EXPECT_EQ(find_arch("x86_64"), &x86_64());
}

TEST(X86_64, NamesEveryRegisterOnceAndInDwarfOrder) {
  const auto names = x86_64().register_names();
  EXPECT_EQ(names.size(), r::count);
  EXPECT_EQ(std::set<std::string_view>(names.begin(), names.end()).size(), names.size());
  EXPECT_EQ(names[7], "rsp");
  EXPECT_EQ(names[16], "rip");
  EXPECT_EQ(names[r::rflags], "rflags");
  EXPECT_EQ(names[r::orig_rax], "orig_rax");
  EXPECT_EQ(x86_64().roles().pc, r::rip);
  EXPECT_FALSE(x86_64().roles().link);
}

TEST(X86_64, ReadsPrstatus) {
  std::vector<uint8_t> desc = numbered(saved.size(), 112);
  desc.resize(336);
  store(MutableBytes(desc), 32, il32(4711));
  int32_t pid = 0;
  std::optional<Registers> regs = x86_64().registers_from_prstatus(desc, &pid);
  ASSERT_TRUE(regs);
  EXPECT_EQ(pid, 4711);
  for (size_t i = 0; i < saved.size(); ++i) EXPECT_EQ(named(*regs, saved[i]), 0x1000 + i) << saved[i];
  EXPECT_FALSE(x86_64().registers_from_prstatus(Bytes(desc).first(112 + 26 * 8)));
}

TEST(X86_64, ReadsPtRegs) {
  const std::vector<uint8_t> bytes = numbered(21, 0);
  EXPECT_EQ(x86_64().pt_regs_size(), bytes.size());
  std::optional<Registers> regs = x86_64().registers_from_pt_regs(bytes);
  ASSERT_TRUE(regs);
  for (size_t i = 0; i < 21; ++i) EXPECT_EQ(named(*regs, saved[i]), 0x1000 + i) << saved[i];
  EXPECT_EQ(named(*regs, "gs"), std::nullopt) << "not in struct pt_regs";
  EXPECT_FALSE(x86_64().registers_from_pt_regs(Bytes(bytes).first(160)));
}

TEST(X86_64, DropsWhatFredKeepsAboveASelector) {
  std::vector<uint8_t> bytes = numbered(21, 0);
  store(MutableBytes(bytes), 17 * 8, ul64(0x0001'0000'0000'0010));  // cs
  store(MutableBytes(bytes), 20 * 8, ul64(0x1234'0000'0003'0018));  // ss
  std::optional<Registers> regs = x86_64().registers_from_pt_regs(bytes);
  EXPECT_EQ(regs->get(r::cs), 0x10u);
  EXPECT_EQ(regs->get(r::ss), 0x18u);
}

TEST(X86_64, TellsUserModeByTheCodeSegment) {
  Registers regs;
  EXPECT_FALSE(x86_64().user_mode(regs)) << "not known";
  for (auto [cs, user] : std::map<uint64_t, bool>{{0x10, false}, {0x33, true}, {0x23, true}, {0, false}}) {
    regs.set(r::cs, cs);
    EXPECT_EQ(x86_64().user_mode(regs), user) << cs;
  }
}

TEST(X86_64, LeavesAddressesAsTheyAre) {
  const VaLayout layout{.va_bits = 48};
  for (uint64_t va : {uint64_t{0xffffffff81000000}, uint64_t{0xdead000000000100}, uint64_t{0x7fffffffe000}}) {
    EXPECT_EQ(x86_64().strip(va, layout).value, va);
  }
}

}  // namespace
}  // namespace kdk
