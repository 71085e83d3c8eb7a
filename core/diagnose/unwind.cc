#include "core/diagnose/unwind.h"

#include <fmt/format.h>

#include <array>

#include "core/base/log.h"
#include "core/diagnose/unwinder.h"

namespace kdk {
namespace {

// No kernel image is larger; only used when _end is unknown.
constexpr uint64_t max_image_size = 128 << 20;

// Data has a name, too, where a CPU was sent to execute it: the kernel prints it as well. A return address or
// an offset of per-CPU data (of x86-64, numbers from 0 on) that happens to be a symbol's says nothing.
bool names(const Symbol& symbol, const Frame& frame) {
  if (symbol.text()) return true;
  constexpr std::string_view data = "dDbBrR";
  return !frame.pc_is_return_address && frame.pc >> 63 != 0 && data.find(symbol.type) != data.npos;
}

}  // namespace

const Unwinder* find_unwinder(const Arch& arch) {
  static const std::array<const Unwinder*, 2> unwinders = {&arm64_unwinder(), &x86_64_unwinder()};
  for (const Unwinder* unwinder : unwinders) {
    if (&unwinder->arch() == &arch) return unwinder;
  }
  return nullptr;
}

Backtrace unwind_from_registers(Kernel& kernel, const Registers& start, const StackSet& stacks,
                                const UnwindAids& aids, size_t limit) {
  const Arch& arch = kernel.memory().arch();
  Backtrace trace;
  std::optional<uint64_t> pc = start.get(arch.roles().pc);
  const Unwinder* unwinder = find_unwinder(arch);
  if (!pc) {
    trace.end = "the registers have no program counter";
  } else if (arch.user_mode(start)) {
    trace.end = "user mode";
    trace.complete = true;
  } else if (unwinder != nullptr) {
    trace = unwinder->walk(kernel, start, stacks, aids, limit);
  } else {
    trace.frames.emplace_back().pc = *pc;
    trace.end = fmt::format("no unwinder for {}", arch.name());
  }
  return trace;
}

std::optional<Registers> sleeping_task_registers(Kernel& kernel, VirtAddr task) {
  const Unwinder* unwinder = find_unwinder(kernel.memory().arch());
  if (unwinder == nullptr) return std::nullopt;
  // A task that has exited gives its stack back first (kernel/fork.c, release_task_stack): what its saved
  // stack pointer leads to then belongs to somebody else.
  const std::optional<uint64_t> offset = kernel.layout().offset("task_struct", "stack");
  if (offset && kernel.memory().u64(task + *offset) == 0) return std::nullopt;
  return unwinder->sleeping_task_registers(kernel, task);
}

void symbolise(Kernel& kernel, Backtrace& trace) {
  std::optional<VirtAddr> stext = kernel.symbol("_stext");
  std::optional<VirtAddr> end = kernel.symbol("_end");
  for (Frame& frame : trace.frames) {
    // A return address can be the first byte of the next function when the call never returns.
    uint64_t address = frame.pc_is_return_address ? frame.pc - 1 : frame.pc;
    if (std::optional<SymbolHit> hit = kernel.symbols().lookup(address); hit && names(hit->symbol, frame)) {
      frame.symbol = escape_untrusted(hit->symbol.name);
      frame.symbol_offset = frame.pc - hit->symbol.address;
      frame.symbol_size = hit->symbol.size;
      frame.module = escape_untrusted(hit->symbol.module);
    }
    uint64_t limit = !stext ? 0 : end ? end->value : stext->value + max_image_size;
    if (frame.module.empty() && stext && frame.pc >= stext->value && frame.pc <= limit) {
      frame.image_offset = frame.pc - stext->value;
    }
  }
}

}  // namespace kdk
