// Registers, ORC rows and stack contents as input: the x86-64 walk must end, within its bounds, whatever it
// finds.
//
// The input: 27 words of registers (core/arch/x86_64.h), 64 ORC rows (one for each of the machine's functions
// f0 to f63), then the words of the task stack from its bottom, then those of the interrupt stack
// (fuzz_stacks.h).
//
// Of the code, each function has a frame prologue (odd ones only), a call of the next function before its
// byte 0x40, and an indirect call before its byte 0x80.
#include <memory>
#include <nlohmann/json.hpp>

#include "core/arch/x86_64.h"
#include "core/diagnose/crash.h"
#include "core/diagnose/orc.h"
#include "tests/fuzz/diagnose/fuzz_stacks.h"

namespace {

using namespace kdk;

constexpr uint64_t functions = 64, function_size = 0x100;
constexpr size_t registers_bytes = x86_64_reg::count * 8, rows_bytes = functions * orc_row_size;

struct Machine {
  Machine() {
    for (uint64_t n = 0; n < functions; ++n) {
      const VirtAddr function = builder.stext() + n * function_size;
      if (n % 2 == 1) builder.put(function, std::vector<uint8_t>{0x55, 0x48, 0x89, 0xe5});
      builder.put_u8(function + 0x3b, 0xe8);
      builder.put_u32(function + 0x3c, function_size - 0x40);
      builder.put_u16(function + 0x7e, 0xd0ff);
      builder.put_u32(ips + n * 4, static_cast<uint32_t>(function.value - (ips.value + n * 4)));
    }
    builder.put(header, std::vector<uint8_t>{0xfe, 0x5d, 0x32, 0xbf, 0x58, 0x1b, 0xd6, 0x3b, 0x2c, 0xa9,
                                             0xa5, 0xc6, 0x5b, 0xa5, 0xa6, 0x25, 0xea, 0xb3, 0xfe, 0x24});
    dump = builder.open();
  }
  test::DumpBuilder builder{
      {.ram = {{0x40000000, 8 << 20}}, .image_size = 2 << 20, .x86_64 = test::X86_64Options{}}};
  fuzz::Stacks stacks{builder};
  VirtAddr ips = builder.image_alloc(functions * 4, 4096), header = builder.image_alloc(orc_header_size),
           rows = builder.image_alloc(4096, 4096);
  std::unique_ptr<Dump> dump;
};

// Fills `part` from the front of `input`.
void take(Bytes& input, MutableBytes part) {
  const size_t n = std::min(input.size(), part.size());
  std::copy_n(input.begin(), n, part.begin());
  input = input.subspan(n);
}

void add_symbols(const Machine& machine, SymbolTable& symbols) {
  const test::DumpBuilder& builder = machine.builder;
  for (uint64_t n = 0; n < functions; ++n) {
    symbols.add(builder.stext().value + n * function_size, function_size, 't', "function");
  }
  symbols.add(machine.ips.value, 0, 'R', "__start_orc_unwind_ip");
  symbols.add(machine.ips.value + functions * 4, 0, 'R', "__stop_orc_unwind_ip");
  symbols.add(machine.rows.value, 0, 'R', "__start_orc_unwind");
  symbols.add(machine.rows.value + rows_bytes, 0, 'R', "__stop_orc_unwind");
  symbols.add(machine.header.value, 0, 'R', "__start_orc_header");
  symbols.add(builder.image_end().value, 0, 'B', "_end");
  symbols.finish();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Machine machine;
  if (size > registers_bytes + rows_bytes + 2 * fuzz::stack_size) return 0;
  Bytes input(data, size);
  std::vector<uint8_t> words(registers_bytes), rows(4096), stacks(2 * fuzz::stack_size);
  take(input, words);
  take(input, MutableBytes(rows).first(rows_bytes));
  take(input, stacks);
  machine.stacks.resolve_all(words);
  machine.stacks.resolve_all(stacks);
  Registers registers;
  for (size_t i = 0; i < x86_64_reg::count; ++i) registers.set(i, *load<ul64>(words, i * 8));

  test::OverlayDump dump(*machine.dump);
  dump.replace(machine.builder.pfn_of(machine.builder.phys(machine.rows)), rows);
  machine.stacks.replace(dump, stacks);
  for (bool with_symbols : {true, false}) {
    Kernel kernel(dump);
    if (with_symbols) add_symbols(machine, kernel.symbols());
    for (const StackSet& stacks_known : {machine.stacks.ranges(), StackSet{}}) {
      Backtrace trace = unwind_from_registers(kernel, registers, stacks_known, {}, 200);
      if (trace.frames.size() > 200 || trace.end.empty()) __builtin_trap();
      for (const Frame& frame : trace.frames) {
        if (trace.complete && frame.trust == Trust::scan) __builtin_trap();
      }
      symbolise(kernel, trace);
      to_json(trace, kernel.memory().arch()).dump();
    }
  }
  return 0;
}
