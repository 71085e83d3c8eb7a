// Variables of a compiled function over memory of a synthetic dump. The places are the compiler's: the reader
// is asked for them once, then the dump is made with values there.
#include "analyze/unwind/variables.h"

#include <elf.h>
#include <gtest/gtest.h>

#include <map>

#include "analyze/symbols/vmlinux.h"
#include "analyze/unwind/vmlinux_aids.h"
#include "tests/support/dump_builder.h"

namespace kdk {
namespace {

using test::DumpBuilder;

class Variables : public testing::Test {
 protected:
  Variables() : info(DebugInfo::open(std::filesystem::path(KDK_FIXTURE_DIR) / "variables_fixture")) {
    const bool x86 = info->file().machine() == EM_X86_64;
    machine = std::make_unique<DumpBuilder>(x86 ? test::MachineOptions{.x86_64 = test::X86_64Options{}}
                                                : test::MachineOptions{});
    stack = machine->alloc(4096);
    const VmlinuxFile::Symbol symbol = *info->file().find_symbol("inspect");
    for (uint64_t pc = symbol.address; pc < symbol.address + symbol.size && frame.pc == 0; ++pc) {
      const std::optional<SourceInfo> source = info->source(pc);
      if (source && source->line == 24) frame.pc = pc;
    }
    frame.symbol = "inspect";
    frame.image_offset = 1;
    frame.registers.emplace();
    const RegisterRoles& roles = machine->arch().roles();
    frame.registers->set(roles.pc, frame.pc);
    // Above and below it is stack, whatever the frame's size.
    frame.registers->set(roles.sp, stack.value + 1024);
    frame.registers->set(x86 ? 6 : 29, stack.value + (x86 ? 2048 : 1024));
  }

  std::map<std::string, Variable> read() {
    const std::unique_ptr<Dump> dump = machine->open();
    Kernel kernel(*dump);
    const SourceLookup sources{.vmlinux = info.get()};
    const VmlinuxAids aids(info.get());
    Backtrace trace;
    trace.frames = {frame};
    const std::vector<FunctionVariables> functions =
        read_variables(kernel, sources, *aids.aids().cfi, trace, std::nullopt,
                       [](uint64_t value) { return value == 0x1234'5678'9abc ? "here" : ""; });
    std::map<std::string, Variable> out;
    EXPECT_EQ(functions.size(), 1u);
    if (functions.empty()) return out;
    EXPECT_EQ(functions[0].function, "inspect");
    EXPECT_EQ(functions[0].inlined, 0u);
    order.clear();
    for (const Variable& item : functions[0].items) {
      order.push_back(item.name);
      out[item.name] = item;
    }
    return out;
  }

  std::unique_ptr<DebugInfo> info;
  std::unique_ptr<DumpBuilder> machine;
  VirtAddr stack;
  Frame frame;
  std::vector<std::string> order;
};

TEST_F(Variables, AreReadWhereTheCompilerPutThem) {
  ASSERT_NE(frame.pc, 0u);
  std::map<std::string, Variable> items = read();
  const std::vector<std::string> expected = {"where", "count",   "shade", "letter",   "call", "copy",
                                             "text",  "numbers", "flag",  "negative", "mask", "block"};
  ASSERT_EQ(order, expected);
  auto at = [&](const char* name) {
    EXPECT_TRUE(items[name].address) << name;
    EXPECT_EQ(items[name].state, Variable::State::known) << name;
    EXPECT_EQ(items[name].parameter,
              std::find(expected.begin(), expected.begin() + 5, name) != expected.begin() + 5);
    return VirtAddr{items[name].address.value_or(stack.value)};
  };
  machine->put_u64(at("where"), 0x1234'5678'9abc);
  machine->put_u64(at("count"), 7);
  machine->put_u32(at("shade"), static_cast<uint32_t>(-2));
  machine->put_u8(at("letter"), 'Q');
  machine->put_u64(at("call"), 0xffff'ffff'8000'0000);
  machine->put_u32(at("copy"), static_cast<uint32_t>(-42));
  machine->put_u8(at("copy") + 4, 0b0'1000'101);  // low is -8, flags is 5
  machine->put_u64(at("copy") + 8, 0);
  machine->put_text(at("text"), std::string("say\x1b\0junk", 9));
  for (uint64_t i = 0; i < 3; ++i) machine->put_u32(at("numbers") + i * 4, static_cast<uint32_t>(100 + i));
  machine->put_u8(at("flag"), 1);
  machine->put_u64(at("negative"), ~uint64_t{0});
  machine->put_u64(at("mask"), uint64_t{1} << 40);
  machine->put_u16(at("block"), 0xffff);

  items = read();
  const std::vector<std::array<std::string, 3>> values = {
      {"where", "struct point *", "0x123456789abc here"},
      {"count", "size_type", "7"},
      {"shade", "enum colour", "blue (-2)"},
      {"letter", "char", "'Q'"},
      {"call", "const handler", "0xffffffff80000000"},
      {"copy", "volatile struct point", "{.x = -42, .flags = 5, .low = -8, .name = NULL, .inner = {...}}"},
      {"text", "char [12]", "\"say\\x1b\""},
      {"numbers", "int [3]", "[100, 101, 102]"},
      {"flag", "_Bool", "true"},
      {"negative", "long long int", "-1"},
      {"mask", "long unsigned int", "0x10000000000"},
      {"block", "short int", "-1"}};
  for (const auto& [name, type, value] : values) {
    EXPECT_EQ(items[name].type, type) << name;
    EXPECT_EQ(items[name].value, value) << name;
  }
}

TEST_F(Variables, WhatIsNotInTheDumpIsUnavailable) {
  const std::map<std::string, Variable> before = read();
  const uint64_t page = before.at("mask").address.value() & ~uint64_t{4095};
  machine->exclude(machine->pfn_of(machine->phys(VirtAddr{page})));
  for (const auto& [name, item] : read()) {
    EXPECT_EQ(item.state, Variable::State::unavailable) << name;
    EXPECT_TRUE(item.value.empty()) << name;
  }
  // Nothing is known of the frame but where it is.
  frame.registers.reset();
  for (const auto& [name, item] : read()) EXPECT_EQ(item.state, Variable::State::unavailable) << name;
}

}  // namespace
}  // namespace kdk
