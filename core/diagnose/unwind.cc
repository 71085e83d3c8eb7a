#include "core/diagnose/unwind.h"

#include <fmt/format.h>

#include "core/base/log.h"
#include "core/diagnose/unwind_arm64.h"

namespace kdk {
namespace {

// No kernel image is larger; only used when _end is unknown.
constexpr uint64_t max_image_size = 128 << 20;

}  // namespace

Backtrace unwind_from_registers(Kernel& kernel, const Registers& start, const StackSet& stacks,
                                size_t limit) {
  const Arch& arch = kernel.memory().arch();
  if (arch.name() == "arm64") return walk_arm64_frames(kernel, start, stacks, limit);
  // Another architecture's own record layout and exception rules belong in a file beside unwind_arm64.cc.
  Backtrace trace;
  if (std::optional<uint64_t> pc = start.get(arch.roles().pc)) {
    Frame frame;
    frame.pc = *pc;
    trace.frames.push_back(std::move(frame));
  }
  trace.end = fmt::format("no unwinder for {}", arch.name());
  return trace;
}

void symbolise(Kernel& kernel, Backtrace& trace) {
  std::optional<VirtAddr> stext = kernel.symbol("_stext");
  std::optional<VirtAddr> end = kernel.symbol("_end");
  for (Frame& frame : trace.frames) {
    // A return address can be the first byte of the next function when the call never returns.
    uint64_t address = frame.pc_is_return_address ? frame.pc - 1 : frame.pc;
    if (std::optional<SymbolHit> hit = kernel.symbols().lookup(address); hit && hit->symbol.text()) {
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
