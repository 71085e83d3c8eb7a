// Code as text: capstone's, ours for arm64, and the walk over a function of a dump.
#include "analyze/inspect/disassembly.h"

#include <gtest/gtest.h>

#include <random>

#include "analyze/inspect/disassembler.h"
#include "analyze/inspect/faulting_code.h"
#include "tests/support/crash_scene.h"

namespace kdk {
namespace {

using test::Scene;

std::string text(const Arch& arch, std::vector<uint8_t> bytes, uint64_t address = 0xffff800010000000) {
  return Disassembler::make(arch)->decode(bytes, address).text;
}
std::string arm64_text(uint32_t word) {
  const ul32 stored = word;
  std::vector<uint8_t> bytes(4);
  store<ul32>(bytes, 0, stored);
  return text(arm64(), bytes);
}

TEST(Disassembler, X86InAttSyntax) {
  EXPECT_EQ("ud2", text(x86_64(), {0x0f, 0x0b}));
  EXPECT_EQ("movq 8(%rax), %rdx", text(x86_64(), {0x48, 0x8b, 0x50, 0x08}));
  EXPECT_EQ("endbr64", text(x86_64(), {0xf3, 0x0f, 0x1e, 0xfa}));
  EXPECT_EQ(".byte 0x06", text(x86_64(), {0x06}));
}

TEST(Disassembler, TargetsAndRegisters) {
  const auto call = Disassembler::make(x86_64())->decode(std::vector<uint8_t>{0xe8, 0x10, 0, 0, 0}, 0x1000);
  EXPECT_EQ(0x1015u, call.target);
  EXPECT_TRUE(call.call);
  const auto relative =
      Disassembler::make(x86_64())->decode(std::vector<uint8_t>{0x48, 0x8b, 0x05, 0x20, 0, 0, 0}, 0x1000);
  EXPECT_EQ(0x1027u, relative.target);
  const auto loaded = Disassembler::make(x86_64())->decode(std::vector<uint8_t>{0x44, 0x8b, 0x6b, 0x30},
                                                           0x1000);  // mov 0x30(%rbx),%r13d
  EXPECT_EQ((std::vector<std::string>{"rbx", "r13"}), loaded.registers);
  EXPECT_EQ("rbx", loaded.base);
  EXPECT_EQ(0x30u, loaded.displacement);
  std::vector<uint8_t> bytes(4);
  store<ul32>(bytes, 0, 0x94000004);  // bl +16
  EXPECT_EQ(0x1010u, Disassembler::make(arm64())->decode(bytes, 0x1000).target);
  store<ul32>(bytes, 0, 0xb9401062);  // ldr w2, [x3, #16]
  const auto load = Disassembler::make(arm64())->decode(bytes, 0x1000);
  EXPECT_EQ((std::vector<std::string>{"x2", "x3"}), load.registers);
  EXPECT_EQ("x3", load.base);
  EXPECT_EQ(16u, load.displacement);
}

// As GNU as has them (aarch64-linux-gnu-as -march=armv8.5-a).
TEST(Disassembler, WhatCapstoneDoesNotKnowOfArm64) {
  const std::pair<uint32_t, std::string_view> all[] = {
      {0x00000000, "udf #0x0"},
      {0xd503233f, "paciasp"},
      {0xd50323bf, "autiasp"},
      {0xd503245f, "bti c"},
      {0xd65f0bff, "retaa"},
      {0xb8200041, "ldadd w0, w1, [x2]"},
      {0xf8e00041, "ldaddal x0, x1, [x2]"},
      {0xb820105f, "stclr w0, [x2]"},
      {0xf82033ff, "stset x0, [sp]"},
      {0xb8608041, "swpl w0, w1, [x2]"},
      {0x38a04041, "ldsmaxab w0, w1, [x2]"},
      {0xc8e0fc41, "casal x0, x1, [x2]"},
      {0x08a07c41, "casb w0, w1, [x2]"},
  };
  for (const auto& [word, expected] : all) EXPECT_EQ(expected, arm64_text(word)) << std::hex << word;
  EXPECT_EQ("nop", arm64_text(0xd503201f));
  EXPECT_EQ("ret", arm64_text(0xd65f03c0));
  EXPECT_EQ(".word 0xffffffff", arm64_text(0xffffffff));
}

TEST(Disassembler, AnyBytesGiveText) {
  std::mt19937_64 random(20261129);
  for (const Arch* arch : all_archs()) {
    const auto decoder = Disassembler::make(*arch);
    for (int i = 0; i < 20'000; ++i) {
      std::vector<uint8_t> bytes(1 + random() % 15);
      for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
      const DecodedInstruction out = decoder->decode(bytes, random());
      ASSERT_GE(out.size, 1u);
      ASSERT_LE(out.size, bytes.size());
      ASSERT_NE("", out.text);
    }
  }
}

struct Opened {
  explicit Opened(const test::DumpBuilder& machine) : dump(machine.open()), kernel(*dump) {}
  std::unique_ptr<Dump> dump;
  Kernel kernel;
};

TEST(Disassembly, AFunctionItsAddressesAndItsEnd) {
  Scene scene;
  Opened before(*scene.machine);
  const uint64_t panic = before.kernel.symbol("panic")->value, task = scene.init_task.value;
  const uint64_t size = before.kernel.symbols().lookup(panic)->symbol.size;
  const auto adrp = [&](uint64_t at) {
    const uint64_t pages = (task >> 12) - (at >> 12);
    return static_cast<uint32_t>(0x90000000 | (pages & 3) << 29 | (pages >> 2 & 0x7ffff) << 5);  // adrp x0
  };
  scene.machine->put_u32({panic}, 0xd503233f);
  scene.machine->put_u32({panic + 4}, adrp(panic + 4));
  scene.machine->put_u32({panic + 8},
                         static_cast<uint32_t>(0x91000000 | (task & 0xfff) << 10));  // add x0, x0, #
  Opened o(*scene.machine);
  const Disassembly whole = disassemble(o.kernel, {.query = "", .address = panic + 4}, {});
  EXPECT_EQ("panic", whole.symbol);
  EXPECT_EQ(size / 4, whole.instructions.size());
  EXPECT_EQ("paciasp", whole.instructions[0].text);
  EXPECT_EQ("", whole.instructions[1].comment);
  EXPECT_EQ("init_task", whole.instructions[2].comment);
  EXPECT_EQ("", whole.end);
  EXPECT_EQ(
      2u, disassemble(o.kernel, {.query = "", .address = panic + 4, .up_to = true}, {}).instructions.size());
  const Disassembly some = disassemble(o.kernel, {.query = "", .address = panic + 8, .count = 3}, {});
  ASSERT_EQ(3u, some.instructions.size());
  EXPECT_EQ(panic + 8, some.instructions[0].address);
}

TEST(Disassembly, TextsThatCodePointsTo) {
  Scene scene({.machine = {.x86_64 = test::X86_64Options{}}});
  Opened before(*scene.machine);
  const uint64_t panic = before.kernel.symbol("panic")->value;
  const VirtAddr message = scene.machine->image_alloc(64);
  scene.machine->put_text(message, std::string("\x01") + "4odd\nthing");
  std::vector<uint8_t> lea{0x48, 0x8d, 0x05, 0, 0, 0, 0};  // lea message(%rip), %rax
  store<ul32>(lea, 3, static_cast<uint32_t>(message.value - (panic + 7)));
  scene.machine->put({panic}, lea);
  Opened o(*scene.machine);
  EXPECT_EQ("\"odd\\x0athing\"",
            disassemble(o.kernel, {.query = "", .address = panic, .count = 1}, {}).instructions[0].comment);
}

TEST(Disassembly, PositionsWhereTheyChange) {
  Scene scene;
  Opened o(*scene.machine);
  const uint64_t panic = o.kernel.symbol("panic")->value;
  DisassemblyRequest request{.query = "", .address = panic, .count = 4, .lines = true};
  const Disassembly out = disassemble(o.kernel, request, [&](uint64_t at) {
    return CodePosition{"kernel/panic.c", at < panic + 8 ? 1u : 2u, {}};
  });
  EXPECT_TRUE(out.instructions[0].position && out.instructions[2].position);
  EXPECT_FALSE(out.instructions[1].position || out.instructions[3].position);
}

TEST(FaultingCode, OperandsAndTheAddressTheyMake) {
  Scene scene({.machine = {.x86_64 = test::X86_64Options{}}});
  Opened before(*scene.machine);
  const uint64_t panic = before.kernel.symbol("panic")->value;
  scene.machine->put({panic}, std::vector<uint8_t>{0x48, 0x8b, 0x50, 0x08});  // mov 8(%rax), %rdx
  Opened o(*scene.machine);
  Registers registers;
  const auto set = [&](std::string_view name, uint64_t value) {
    const auto names = x86_64().register_names();
    registers.set(static_cast<size_t>(std::find(names.begin(), names.end(), name) - names.begin()), value);
  };
  set("rip", panic);
  set("rax", 0x10);
  set("cs", 0x10);
  const auto code = faulting_code(o.kernel, registers);
  ASSERT_TRUE(code.has_value());
  EXPECT_EQ("movq 8(%rax), %rdx", code->text);
  ASSERT_EQ(1u, code->operands.size());  // what rdx held is not known
  EXPECT_EQ("rax", code->operands[0].name);
  EXPECT_EQ(0x18u, code->memory);
  set("rip", 0x1000);  // a jump to nowhere
  EXPECT_FALSE(faulting_code(o.kernel, registers).has_value());
  set("rip", panic);
  set("cs", 0x33);  // user mode
  EXPECT_FALSE(faulting_code(o.kernel, registers).has_value());
}

TEST(Disassembly, MissingCodeIsNamed) {
  Scene scene;
  Opened before(*scene.machine);
  const VirtAddr panic = *before.kernel.symbol("panic");
  scene.machine->exclude(scene.machine->pfn_of(scene.machine->phys(panic)));
  Opened o(*scene.machine);
  const Disassembly out = disassemble(o.kernel, {.query = "", .address = panic.value, .count = 4}, {});
  EXPECT_TRUE(out.instructions.empty());
  EXPECT_NE("", out.end);
  EXPECT_THROW(disassemble(o.kernel, {.query = "", .address = 0x1000}, {}), Error);
}

}  // namespace
}  // namespace kdk
