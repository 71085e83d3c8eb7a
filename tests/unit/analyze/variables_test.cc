// Variables of a compiled function over memory of a synthetic dump. The places are the compiler's: the reader
// is asked for them once, then the dump is made with values there.
#include "analyze/unwind/variables.h"

#include <elf.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <map>
#include <set>

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

// Two functions in one frame: look() is inlined in inspect(), and its arguments point to variables of that.
class ImplicitPointers : public testing::Test {
 protected:
  using Values = std::map<std::string, std::string>;

  // What the arguments of look() and the variables of inspect() are, by the debug information in `file`.
  static Values read(const std::filesystem::path& file) {
    const std::unique_ptr<DebugInfo> info = DebugInfo::open(file);
    const bool x86 = info->file().machine() == EM_X86_64;
    DumpBuilder machine(x86 ? test::MachineOptions{.x86_64 = test::X86_64Options{}} : test::MachineOptions{});
    const VmlinuxFile::Symbol symbol = *info->file().find_symbol("inspect");
    Backtrace trace;
    Frame& frame = trace.frames.emplace_back();
    for (uint64_t pc = symbol.address; pc < symbol.address + symbol.size && frame.pc == 0; ++pc) {
      const std::optional<SourceInfo> source = info->source(pc);
      if (source && source->inlines.size() == 1) frame.pc = pc;
    }
    EXPECT_NE(0U, frame.pc);
    frame.symbol = "inspect";
    frame.image_offset = 1;
    frame.inlines.push_back({"look", "", 0});
    frame.registers.emplace();
    frame.registers->set(machine.arch().roles().pc, frame.pc);
    frame.registers->set(machine.arch().roles().sp, machine.alloc(4096).value + 1024);
    frame.registers->set(x86 ? 5 : 0, 0x1122);  // seed
    frame.registers->set(x86 ? 4 : 1, 5);       // other
    const std::unique_ptr<Dump> dump = machine.open();
    Kernel kernel(*dump);
    const SourceLookup sources{.vmlinux = info.get()};
    const VmlinuxAids aids(info.get());
    Values out;
    for (const FunctionVariables& function :
         read_variables(kernel, sources, *aids.aids().cfi, trace, std::nullopt, {})) {
      for (const Variable& item : function.items) {
        out[function.function + "." + item.name] =
            item.state == Variable::State::known ? item.value : std::string(to_string(item.state));
      }
    }
    return out;
  }

  const std::filesystem::path fixture = std::filesystem::path(KDK_FIXTURE_DIR) / "implicit_fixture";
};

TEST_F(ImplicitPointers, SayWhatIsBehindThem) {
  Values values = read(fixture);
  EXPECT_EQ("&({.first = 7, .second = 4386})", values["look.whole"]);
  EXPECT_EQ("&(4386)", values["look.member"]);
  EXPECT_EQ("&(42)", values["look.number"]);
  EXPECT_EQ("&(&(42))", values["look.twice"]);
  EXPECT_EQ("&(42)", values["look.untyped"]);
  EXPECT_EQ("&({.first = 15, .second = <optimized out>})", values["look.half"]);
  EXPECT_EQ("{.first = 7, .second = 4386}", values["inspect.pair"]);
  EXPECT_EQ("{.first = 15, .second = <optimized out>}", values["inspect.half"]);
  EXPECT_EQ("42", values["inspect.number"]);
  EXPECT_EQ("&(42)", values["inspect.to"]);
}

// Wherever they say that they point, to themselves and into each other, it ends.
TEST_F(ImplicitPointers, MayPointAnywhere) {
  std::ifstream stream(fixture, std::ios::binary);
  const std::string whole{std::istreambuf_iterator<char>(stream), {}};
  // DW_OP_implicit_pointer, a DIE's offset of four bytes, and a number of one.
  std::map<size_t, unsigned> places;  // and where they point
  const std::unique_ptr<DebugInfo> info = DebugInfo::open(fixture);
  const std::string_view lists = as_text(info->file().section(".debug_loclists"));
  ASSERT_FALSE(lists.empty());
  const size_t begin = whole.find(lists), end = begin + lists.size();
  for (size_t at = whole.find("\xa0", begin); at < end; at = whole.find("\xa0", at + 1)) {
    if (at + 6 > end || whole[at + 2] >= 4 || whole[at + 3] != 0 || whole[at + 4] != 0) continue;
    places[at] = static_cast<uint8_t>(whole[at + 1]) + 256U * static_cast<uint8_t>(whole[at + 2]);
  }
  ASSERT_GE(places.size(), 6U);
  // Entries of functions, of variables, of the pointers themselves (up to some dozens of bytes behind), and
  // the middle of some.
  std::set<unsigned> targets;
  for (const auto& [at, die] : places) targets.insert({die, die + 1});
  for (unsigned die = 0; die < 0x280; die += 9) targets.insert(die);

  const std::filesystem::path changed =
      std::filesystem::path(testing::TempDir()) / fmt::format("implicit_fixture_{}", getpid());
  std::set<std::string> seen;
  for (const unsigned die : targets) {
    std::string bytes = whole;
    for (const auto& [at, unused] : places) {
      bytes[at + 1] = static_cast<char>(die & 0xff);
      bytes[at + 2] = static_cast<char>(die >> 8);
      if (die % 9 == 0) bytes[at + 5] = static_cast<char>(die % 128);  // into it, behind it, before it
    }
    std::ofstream(changed, std::ios::binary) << bytes;
    seen.insert(read(changed)["look.untyped"]);
  }
  std::filesystem::remove(changed);
  EXPECT_TRUE(seen.contains("optimized_out"));
  EXPECT_TRUE(seen.contains("&(42)"));
  EXPECT_TRUE(seen.contains("&({.first = 7, .second = 4386})"));
}

}  // namespace
}  // namespace kdk
