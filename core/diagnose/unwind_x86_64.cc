#include "core/diagnose/unwinder.h"

namespace kdk {
namespace {

class X86Unwinder final : public Unwinder {
 public:
  const Arch& arch() const override { return x86_64(); }
  Backtrace walk(Kernel&, const Registers& start, const StackSet&, const UnwindAids&, size_t) const override {
    Backtrace trace;
    trace.frames.emplace_back().pc = start.get(arch().roles().pc).value_or(0);
    trace.end = "the registers are all that is known";
    return trace;
  }
  void add_cpu_stacks(Kernel&, unsigned, StackSet&) const override {}
  std::optional<Registers> sleeping_task_registers(Kernel&, VirtAddr) const override { return std::nullopt; }
};

}  // namespace

const Unwinder& x86_64_unwinder() {
  static const X86Unwinder instance;
  return instance;
}

}  // namespace kdk
