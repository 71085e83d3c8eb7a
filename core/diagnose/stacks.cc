// The stacks one CPU can be on: its task's, and what the architecture adds.
#include "core/diagnose/stacks.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/diagnose/cpus.h"
#include "core/diagnose/crash.h"
#include "core/diagnose/unwinder.h"
#include "core/kernel/percpu.h"

namespace kdk {
namespace {

// THREAD_SIZE of arm64 and x86-64 without KASAN and with pages of at most 16 KiB.
constexpr uint64_t min_thread_size = 16 << 10;

}  // namespace

void add_stack(StackSet& stacks, std::optional<uint64_t> low, uint64_t size, std::string_view name) {
  if (!low || *low == 0 || size == 0) return;
  std::optional<uint64_t> high = checked_add(*low, size);
  if (high) stacks.ranges.push_back({*low, *high, std::string(name)});
}

std::optional<uint64_t> per_cpu_pointer(Kernel& kernel, std::string_view symbol, unsigned cpu) {
  std::optional<VirtAddr> address = per_cpu_address(kernel, symbol, cpu);
  return address ? kernel.memory().u64(*address) : std::nullopt;
}

uint64_t thread_size(Kernel& kernel, uint64_t stack_base) {
  if (std::optional<uint64_t> size = kernel.layout().size_of("thread_union")) {
    if (is_power_of_two(*size) && *size >= 4096 && *size <= (1 << 20)) return *size;
  }
  // The linker script keeps room for the first task's stack, from include/asm-generic/vmlinux.lds.h
  // INIT_TASK_DATA: of a 64 KiB page kernel without CONFIG_VMAP_STACK nothing else tells that it is smaller
  // than a page.
  for (std::string_view what : {"stack", "task"}) {  // "stack" since v6.10
    auto begin = kernel.symbol(fmt::format("__start_init_{}", what)),
         end = kernel.symbol(fmt::format("__end_init_{}", what));
    if (!begin || !end || end->value <= begin->value) continue;
    uint64_t size = end->value - begin->value;
    if (is_power_of_two(size) && size >= 4096 && size <= (1 << 20)) return size;
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

StackSet task_stack(Kernel& kernel, VirtAddr task) {
  StackSet stacks;
  stacks.task = task.value;
  std::optional<uint64_t> offset = kernel.layout().offset("task_struct", "stack");
  std::optional<uint64_t> base = offset ? kernel.memory().u64(task + *offset) : std::nullopt;
  if (base) add_stack(stacks, base, thread_size(kernel, *base), "task");
  return stacks;
}

StackSet cpu_stacks(Kernel& kernel, unsigned cpu) {
  std::optional<VirtAddr> task = current_task(kernel, cpu);
  StackSet stacks = task ? task_stack(kernel, *task) : StackSet{};
  const Unwinder* unwinder = find_unwinder(kernel.memory().arch());
  if (unwinder != nullptr) unwinder->add_cpu_stacks(kernel, cpu, stacks);
  return stacks;
}

}  // namespace kdk
