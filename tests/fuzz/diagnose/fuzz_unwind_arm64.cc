// Registers and stack contents as input: arm64's frame walk must end, within its bounds, whatever it finds.
//
// The input is 64-bit words (fuzz_stacks.h): 34 registers (x0-x30, sp, pc, pstate), then the task stack from
// its bottom, then the interrupt stack.
#include <memory>
#include <nlohmann/json.hpp>

#include "core/diagnose/crash.h"
#include "tests/fuzz/diagnose/fuzz_stacks.h"

namespace {

using namespace kdk;

constexpr size_t registers_bytes = 34 * 8;

struct Machine {
  test::DumpBuilder builder{{.ram = {{0x40000000, 8 << 20}}, .image_size = 2 << 20}};
  fuzz::Stacks stacks{builder};
  std::unique_ptr<Dump> dump = builder.open();
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Machine machine;
  if (size > registers_bytes + 2 * fuzz::stack_size) return 0;
  std::vector<uint8_t> words(registers_bytes + 2 * fuzz::stack_size);
  std::copy(data, data + size, words.begin());
  machine.stacks.resolve_all(words);
  Registers registers;
  for (size_t i = 0; i < registers_bytes / 8; ++i) registers.set(i, *load<ul64>(words, i * 8));

  test::OverlayDump dump(*machine.dump);
  machine.stacks.replace(dump, Bytes(words).subspan(registers_bytes));
  Kernel kernel(dump);
  SymbolTable& symbols = kernel.symbols();
  for (uint64_t offset = 0; offset < 0x4000; offset += 0x100) {
    symbols.add(machine.builder.stext().value + offset, 0x100, 't', "function");
  }
  symbols.finish();

  for (const StackSet& stacks : {machine.stacks.ranges(), StackSet{}}) {
    Backtrace trace = unwind_from_registers(kernel, registers, stacks, {}, 200);
    // A context can bring its link register's frame along.
    if (trace.frames.size() > 201 || trace.end.empty()) __builtin_trap();
    symbolise(kernel, trace);
    to_json(trace, kernel.memory().arch()).dump();
  }
  return 0;
}
