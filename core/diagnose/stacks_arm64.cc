// The stacks of an arm64 CPU. Source: arch/arm64/include/asm/stacktrace.h (stackinfo_get_*), asm/memory.h
// (THREAD_SIZE, OVERFLOW_STACK_SIZE, IRQ_STACK_SIZE, SDEI_STACK_SIZE).
#include "core/diagnose/stacks.h"
#include "core/diagnose/unwind_arm64.h"
#include "core/kernel/percpu.h"

namespace kdk {
namespace {

constexpr uint64_t overflow_stack_size = 4096;
// The EFI stack is known by its top; what THREAD_SIZE is at least below that is the stack.
constexpr uint64_t min_thread_size = 16 << 10;

}  // namespace

void add_arm64_stacks(Kernel& kernel, unsigned cpu, StackSet& stacks) {
  struct PointerStack {
    std::string_view symbol, name;
  };
  for (auto [symbol, name] :
       {PointerStack{"irq_stack_ptr", "irq"}, PointerStack{"sdei_stack_normal_ptr", "sdei"},
        PointerStack{"sdei_stack_critical_ptr", "sdei"}}) {
    std::optional<uint64_t> base = per_cpu_pointer(kernel, symbol, cpu);
    if (base && *base != 0) add_stack(stacks, base, thread_size(kernel, *base), name);
  }
  if (std::optional<VirtAddr> overflow = per_cpu_address(kernel, "overflow_stack", cpu)) {
    add_stack(stacks, overflow->value, overflow_stack_size, "overflow");
  }
  // The EFI runtime stack is shared by all CPUs and known by its top.
  if (std::optional<VirtAddr> top_pointer = kernel.symbol("efi_rt_stack_top")) {
    std::optional<uint64_t> top = kernel.memory().u64(*top_pointer);
    if (top && *top > min_thread_size) {
      uint64_t size = thread_size(kernel, *top - min_thread_size);
      add_stack(stacks, *top - size, size, "efi");
    }
  }
}

}  // namespace kdk
