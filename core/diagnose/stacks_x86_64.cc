// The stacks of an x86-64 CPU besides its task's, and what a sleeping task left on its own.
// Source: arch/x86/kernel/irq_64.c, arch/x86/include/asm/cpu_entry_area.h, arch/x86/include/asm/processor.h
// (struct x86_hw_tss), arch/x86/kernel/dumpstack_64.c.
#include <algorithm>
#include <array>

#include "core/arch/x86_64.h"
#include "core/diagnose/stacks.h"
#include "core/diagnose/unwind_x86_64.h"
#include "core/kernel/percpu.h"

namespace kdk {
namespace {

// IRQ_STACK_SIZE without KASAN: of a kernel that brings no types.
constexpr uint64_t default_irq_stack_size = 16 << 10;

// Where the pointer to the interrupt stack's top is kept:
//  - in struct pcpu_hot from v6.2 to v6.14: Linux commit d7b6d709a76a ("x86/percpu: Move
//    irq_stack variables next to current_task");
//  - as a per-CPU variable of its own before and after; irq_stack_ptr before v5.2.
std::optional<uint64_t> irq_stack_pointer(Kernel& kernel, unsigned cpu) {
  if (std::optional<VirtAddr> hot = per_cpu_address(kernel, "pcpu_hot", cpu)) {
    if (std::optional<uint64_t> offset = kernel.layout().offset("pcpu_hot", "hardirq_stack_ptr")) {
      return kernel.memory().u64(*hot + *offset);
    }
  }
  for (std::string_view symbol : {"hardirq_stack_ptr", "irq_stack_ptr"}) {
    if (std::optional<uint64_t> pointer = per_cpu_pointer(kernel, symbol, cpu)) return pointer;
  }
  return std::nullopt;
}

void add_irq_stack(Kernel& kernel, unsigned cpu, StackSet& stacks) {
  const std::optional<uint64_t> pointer = irq_stack_pointer(kernel, cpu);
  if (!pointer || *pointer == 0) return;
  // It points at the stack's end, or 8 or (before v5.2) 64 bytes below it, by kernel; the end is page
  // aligned.
  const uint64_t page = kernel.memory().page_size();
  const uint64_t size = kernel.layout().size_of("irq_stack").value_or(default_irq_stack_size);
  const uint64_t high = align_up(*pointer, page);
  if (high > size) add_stack(stacks, high - size, size, "irq");
}

// The exception stacks as they are mapped in the CPU's entry area, with guard pages between them. The area's
// place is random since v6.2, but a per-CPU pointer leads to it (since v5.1). False when that is not known.
bool add_entry_area_stacks(Kernel& kernel, unsigned cpu, StackSet& stacks) {
  const std::optional<uint64_t> area = per_cpu_pointer(kernel, "cea_exception_stacks", cpu);
  if (!area || *area == 0) return false;
  struct Member {
    std::string_view field, name;
  };
  bool found = false;
  for (auto [field_name, name] :
       {Member{"DF_stack", "df"}, Member{"NMI_stack", "nmi"}, Member{"DB_stack", "db"},
        Member{"DB1_stack", "db"}, Member{"MCE_stack", "mce"}, Member{"VC_stack", "vc"},
        Member{"VC2_stack", "vc2"}}) {
    const std::optional<Layout::Field> field = kernel.layout().field("cea_exception_stacks", field_name);
    if (!field || field->size == 0) continue;
    const std::optional<uint64_t> low = checked_add(*area, field->offset);
    add_stack(stacks, low, field->size, name);
    found = true;
  }
  return found;
}

// struct x86_hw_tss { u32 reserved1; u64 sp0, sp1, sp2, reserved2, ist[7]; ... }, packed: the CPU's format.
constexpr uint64_t tss_sp0 = 4, tss_ist = 36;

std::optional<VirtAddr> task_state_segment(Kernel& kernel, unsigned cpu) {
  std::optional<VirtAddr> tss = per_cpu_address(kernel, "cpu_tss_rw", cpu);
  return tss ? tss : per_cpu_address(kernel, "cpu_tss", cpu);  // before v4.15
}

// The interrupt stack table holds the tops of the exception stacks. They end below at a guard page or at the
// next top.
void add_interrupt_stack_table(Kernel& kernel, VirtAddr tss, StackSet& stacks) {
  // IST_INDEX_* of asm/page_64_types.h; before v5.1 the same order counted from 1.
  constexpr std::array<std::string_view, 5> names = {"df", "nmi", "db", "mce", "vc"};
  constexpr uint64_t max_pages = 4;  // EXCEPTION_STKSZ with KASAN
  KernelMemory& memory = kernel.memory();
  std::array<uint64_t, names.size()> tops{};
  for (size_t i = 0; i < names.size(); ++i) tops[i] = memory.u64(tss + tss_ist + i * 8).value_or(0);
  const uint64_t page = memory.page_size();
  for (size_t i = 0; i < names.size(); ++i) {
    if (tops[i] % 16 != 0 || tops[i] < max_pages * page) continue;
    uint64_t low = tops[i];
    auto is_top = [&](uint64_t address) {
      return std::find(tops.begin(), tops.end(), address) != tops.end();
    };
    while (tops[i] - low < max_pages * page && (low == tops[i] || !is_top(low)) &&
           memory.translate(VirtAddr{low - page})) {
      low -= page;
    }
    add_stack(stacks, low, tops[i] - low, names[i]);
  }
}

}  // namespace

void add_x86_64_stacks(Kernel& kernel, unsigned cpu, StackSet& stacks) {
  add_irq_stack(kernel, cpu, stacks);
  const bool have_exceptions = add_entry_area_stacks(kernel, cpu, stacks);
  const std::optional<VirtAddr> tss = task_state_segment(kernel, cpu);
  if (!tss) return;
  if (!have_exceptions) add_interrupt_stack_table(kernel, *tss, stacks);
  // Entries from user mode begin on a stack of their own (since v4.15), which sp0 is the end of.
  const std::optional<uint64_t> sp0 = kernel.memory().u64(*tss + tss_sp0);
  const std::optional<uint64_t> size = kernel.layout().size_of("entry_stack");
  if (sp0 && size && *sp0 > *size) add_stack(stacks, *sp0 - *size, *size, "entry");
}

// __switch_to_asm() (entry_64.S) pushes a struct inactive_task_frame and keeps its address in thread.sp.
std::optional<Registers> x86_64_sleeping_registers(Kernel& kernel, VirtAddr task) {
  namespace r = x86_64_reg;
  const Layout& layout = kernel.layout();
  KernelMemory& memory = kernel.memory();
  const std::optional<uint64_t> offset = layout.offset("task_struct", "thread.sp"),
                                size = layout.size_of("inactive_task_frame");
  if (!offset || !size) return std::nullopt;
  const std::optional<VirtAddr> frame = memory.pointer(task + *offset);
  if (!frame) return std::nullopt;
  struct Member {
    std::string_view name;
    size_t index;
  };
  Registers registers;
  for (auto [name, index] :
       {Member{"bx", r::rbx}, Member{"bp", r::rbp}, Member{"r12", r::r12}, Member{"r13", r::r13},
        Member{"r14", r::r14}, Member{"r15", r::r15}, Member{"ret_addr", r::rip}}) {
    const std::optional<uint64_t> at = layout.offset("inactive_task_frame", name);
    const std::optional<uint64_t> value = at ? memory.u64(*frame + *at) : std::nullopt;
    if (value) registers.set(index, *value);
  }
  if (!registers.get(r::rip)) return std::nullopt;
  registers.set(r::rsp, frame->value + *size);
  return registers;
}

}  // namespace kdk
