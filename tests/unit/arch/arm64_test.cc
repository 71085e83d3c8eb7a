#include <gtest/gtest.h>

#include "core/arch/arch.h"

namespace kdk {
namespace {

std::vector<uint8_t> numbered(size_t registers, size_t offset) {
  std::vector<uint8_t> bytes(offset + registers * 8);
  for (size_t i = 0; i < registers; ++i) store(MutableBytes(bytes), offset + i * 8, ul64(0x1000 + i));
  return bytes;
}

TEST(Arm64, IsFoundByElfAndUtsMachine) {
  EXPECT_EQ(find_arch(uint16_t{183}), &arm64());
  EXPECT_EQ(find_arch("aarch64"), &arm64());
  EXPECT_EQ(find_arch(uint16_t{243}), nullptr);
  EXPECT_EQ(find_arch("riscv64"), nullptr);
}

TEST(Arm64, ReadsPrstatus) {
  std::vector<uint8_t> desc = numbered(34, 112);
  desc.resize(392);
  store(MutableBytes(desc), 32, il32(4711));
  int32_t pid = 0;
  std::optional<Registers> regs = arm64().registers_from_prstatus(desc, &pid);
  ASSERT_TRUE(regs);
  EXPECT_EQ(pid, 4711);
  EXPECT_EQ(regs->get(0), 0x1000u);
  EXPECT_EQ(regs->get(arm64().roles().frame_pointer), 0x1000u + 29);
  EXPECT_EQ(regs->get(*arm64().roles().link), 0x1000u + 30);
  EXPECT_EQ(regs->get(arm64().roles().sp), 0x1000u + 31);
  EXPECT_EQ(regs->get(arm64().roles().pc), 0x1000u + 32);
  EXPECT_EQ(regs->get(arm64().roles().status), 0x1000u + 33);
  EXPECT_EQ(regs->get(34), std::nullopt);
}

TEST(Arm64, RefusesShortRegisterAreas) {
  std::vector<uint8_t> desc = numbered(34, 112);
  EXPECT_TRUE(arm64().registers_from_prstatus(desc));
  desc.pop_back();
  EXPECT_FALSE(arm64().registers_from_prstatus(desc));
  EXPECT_FALSE(arm64().registers_from_prstatus({}));
  EXPECT_TRUE(arm64().registers_from_pt_regs(numbered(34, 0)));
  EXPECT_FALSE(arm64().registers_from_pt_regs(numbered(33, 0)));
}

TEST(Arm64, NamesEveryRegisterOnce) {
  ASSERT_EQ(arm64().register_names().size(), 34u);
  EXPECT_EQ(arm64().register_names()[arm64().roles().pc], "pc");
  EXPECT_EQ(arm64().register_names()[arm64().roles().sp], "sp");
  EXPECT_EQ(arm64().register_names()[*arm64().roles().link], "x30");
  EXPECT_EQ(arm64().register_names()[arm64().roles().status], "pstate");
}

TEST(Arm64, TellsUserModeFromPstate) {
  Registers regs;
  EXPECT_FALSE(arm64().user_mode(regs)) << "unknown pstate";
  for (auto [pstate, user] : {std::pair<uint64_t, bool>{0x60001000, true},  // EL0t
                              {0x600f0010, true},                           // AArch32 user
                              {0x804000c5, false},                          // EL1h
                              {0x604000c4, false},                          // EL1t
                              {0x604000c9, false}}) {                       // EL2h (VHE)
    regs.set(arm64().roles().status, pstate);
    EXPECT_EQ(arm64().user_mode(regs), user) << std::hex << pstate;
  }
}

TEST(Arm64, StripsTagAndAuthentication) {
  const VaLayout plain, pac48{.va_bits = 48, .signature_mask = 0xffff000000000000};
  const VaLayout pac52{.va_bits = 52, .signature_mask = 0xfff0000000000000};
  EXPECT_EQ(arm64().strip(0xffff800080012340, plain).value, 0xffff800080012340u);
  EXPECT_EQ(arm64().strip(0xf1ff800080012340, plain).value, 0xffff800080012340u) << "KASAN tag";
  EXPECT_EQ(arm64().strip(0x12b4800080012340, pac48).value, 0xffff800080012340u);
  EXPECT_EQ(arm64().strip(0x5a9f800080012340, pac52).value, 0xffff800080012340u);
  EXPECT_EQ(arm64().strip(0x5a92800080012340, pac52).value, 0xfff2800080012340u);
  EXPECT_EQ(arm64().strip(0x5a25aaaaaaaaa000, pac48).value, 0x0000aaaaaaaaa000u) << "user address";
}

}  // namespace
}  // namespace kdk
