// The stacks one CPU can be on. Source: arch/arm64/include/asm/stacktrace.h (stackinfo_get_*), asm/memory.h
// (THREAD_SIZE, OVERFLOW_STACK_SIZE, IRQ_STACK_SIZE, SDEI_STACK_SIZE).
#include <algorithm>

#include "core/diagnose/cpus.h"
#include "core/diagnose/crash.h"
#include "core/kernel/percpu.h"

namespace kdk {
namespace {

constexpr uint64_t overflow_stack_size = 4096;
constexpr uint64_t min_thread_size = 16 << 10;

void add(StackSet& stacks, std::optional<uint64_t> low, uint64_t size, std::string_view name) {
  if (!low || *low == 0) return;
  std::optional<uint64_t> high = checked_add(*low, size);
  if (high) stacks.ranges.push_back({*low, *high, std::string(name)});
}

std::optional<uint64_t> per_cpu_pointer(Kernel& kernel, std::string_view symbol, unsigned cpu) {
  std::optional<VirtAddr> address = per_cpu_address(kernel, symbol, cpu);
  return address ? kernel.memory().u64(*address) : std::nullopt;
}

}  // namespace

uint64_t thread_size(Kernel& kernel, uint64_t stack_base) {
  if (std::optional<uint64_t> size = kernel.layout().size_of("thread_union")) {
    if (is_power_of_two(*size) && *size >= 4096 && *size <= (1 << 20)) return *size;
  }
  KernelMemory& memory = kernel.memory();
  uint64_t size = std::max<uint64_t>(min_thread_size, memory.page_size());
  // KASAN doubles it; a VMAP_STACK ends where the mapping does.
  bool doubled =
      memory.translate(VirtAddr{stack_base + size}) && !memory.translate(VirtAddr{stack_base + 2 * size});
  return doubled ? 2 * size : size;
}

std::optional<VirtAddr> current_task(Kernel& kernel, unsigned cpu) {
  std::optional<uint64_t> curr = kernel.layout().offset("rq", "curr");
  std::optional<VirtAddr> rq = curr ? per_cpu_address(kernel, "runqueues", cpu) : std::nullopt;
  if (!rq) return std::nullopt;
  std::optional<VirtAddr> task = kernel.memory().pointer(*rq + *curr);
  return task && task->value != 0 ? task : std::nullopt;
}

StackSet cpu_stacks(Kernel& kernel, unsigned cpu) {
  StackSet stacks;
  KernelMemory& memory = kernel.memory();
  std::optional<VirtAddr> task = current_task(kernel, cpu);
  std::optional<uint64_t> offset = kernel.layout().offset("task_struct", "stack");
  if (task && offset) {
    std::optional<uint64_t> base = memory.u64(*task + *offset);
    if (base) add(stacks, base, thread_size(kernel, *base), "task");
  }
  struct PointerStack {
    std::string_view symbol, name;
  };
  for (auto [symbol, name] :
       {PointerStack{"irq_stack_ptr", "irq"}, PointerStack{"sdei_stack_normal_ptr", "sdei"},
        PointerStack{"sdei_stack_critical_ptr", "sdei"}}) {
    std::optional<uint64_t> base = per_cpu_pointer(kernel, symbol, cpu);
    if (base && *base != 0) add(stacks, base, thread_size(kernel, *base), name);
  }
  if (std::optional<VirtAddr> overflow = per_cpu_address(kernel, "overflow_stack", cpu)) {
    add(stacks, overflow->value, overflow_stack_size, "overflow");
  }
  // The EFI runtime stack is shared by all CPUs and known by its top.
  if (std::optional<VirtAddr> top_pointer = kernel.symbol("efi_rt_stack_top")) {
    std::optional<uint64_t> top = memory.u64(*top_pointer);
    if (top && *top > min_thread_size) {
      uint64_t size = thread_size(kernel, *top - min_thread_size);
      add(stacks, *top - size, size, "efi");
    }
  }
  return stacks;
}

}  // namespace kdk
