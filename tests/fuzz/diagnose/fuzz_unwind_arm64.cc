// Registers and stack contents as input: the frame walk must end, within its bounds, whatever it finds.
//
// The input is 64-bit words: 34 registers (x0-x30, sp, pc, pstate), then the task stack from its bottom, then
// the IRQ stack. So that seeds do not depend on where the synthetic machine puts things, a word with 0x5354
// in its top 16 bits stands for an address in the task stack, 0x4952 in the IRQ stack, 0x5458 in the text.
#include <memory>
#include <nlohmann/json.hpp>

#include "core/diagnose/crash.h"
#include "tests/support/dump_builder.h"
#include "tests/support/overlay_dump.h"

namespace {

using namespace kdk;

constexpr uint64_t stack_size = 16384;
constexpr size_t register_count = 34;

struct Machine {
  test::DumpBuilder builder{{.ram = {{0x40000000, 8 << 20}}, .image_size = 2 << 20}};
  VirtAddr task = builder.vmalloc(stack_size / 4096), irq = builder.vmalloc(stack_size / 4096);
  std::unique_ptr<Dump> dump = builder.open();
};

uint64_t resolve(const Machine& machine, uint64_t word) {
  uint64_t low = word & 0xffffffffffff;
  switch (word >> 48) {
    case 0x5354:
      return machine.task.value + low;
    case 0x4952:
      return machine.irq.value + low;
    case 0x5458:
      return machine.builder.stext().value + low;
    default:
      return word;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Machine machine;
  if (size > (register_count * 8) + 2 * stack_size) return 0;
  std::vector<uint8_t> words(register_count * 8 + 2 * stack_size);
  std::copy(data, data + size, words.begin());
  for (size_t at = 0; at < words.size(); at += 8) {
    store(MutableBytes(words), at, ul64(resolve(machine, *load<ul64>(words, at))));
  }
  Registers registers;
  for (size_t i = 0; i < register_count; ++i) registers.set(i, *load<ul64>(words, i * 8));

  test::OverlayDump dump(*machine.dump);
  for (uint64_t at = 0; at < 2 * stack_size; at += 4096) {
    VirtAddr page = at < stack_size ? machine.task + at : machine.irq + (at - stack_size);
    auto begin = words.begin() + static_cast<ptrdiff_t>(register_count * 8 + at);
    dump.replace(machine.builder.pfn_of(machine.builder.phys(page)), {begin, begin + 4096});
  }
  Kernel kernel(dump);
  SymbolTable& symbols = kernel.symbols();
  for (uint64_t offset = 0; offset < 0x4000; offset += 0x100) {
    symbols.add(machine.builder.stext().value + offset, 0x100, 't', "function");
  }
  symbols.finish();

  StackSet known;
  known.ranges = {{machine.task.value, machine.task.value + stack_size, "task"},
                  {machine.irq.value, machine.irq.value + stack_size, "irq"}};
  for (const StackSet& stacks : {known, StackSet{}}) {
    Backtrace trace = unwind_from_registers(kernel, registers, stacks, {}, 200);
    // A context can bring its link register's frame along.
    if (trace.frames.size() > 201 || trace.end.empty()) __builtin_trap();
    symbolise(kernel, trace);
    to_json(trace, kernel.memory().arch()).dump();
  }
  return 0;
}
