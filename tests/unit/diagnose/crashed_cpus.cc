#include "tests/unit/diagnose/crashed_cpus.h"

#include "tests/unit/diagnose/oops_texts.h"

namespace kdk::test {
namespace {

constexpr uint64_t per_cpu_area = 0x10000;  // between the CPUs' areas
constexpr uint64_t task_pid = 0x20, task_stack = 0x28, task_comm = 0x30, rq_curr = 0x40;

// One ELF note of crash_save_cpu(): "CORE", NT_PRSTATUS, elf_prstatus of 392 bytes.
void put_note(DumpBuilder& machine, VirtAddr at, const Registers& registers, int32_t pid) {
  machine.put_u32(at, 5);
  machine.put_u32(at + 4, 392);
  machine.put_u32(at + 8, 1);
  machine.put_text(at + 12, "CORE");
  VirtAddr desc = at + 20;
  machine.put_u32(desc + 32, static_cast<uint32_t>(pid));
  for (size_t i = 0; i < 34; ++i) machine.put_u64(desc + 112 + i * 8, registers.value[i]);
}

}  // namespace

std::unique_ptr<CrashedMachine> crashed_two_cpus(const CpuOptions& options) {
  auto crashed = std::make_unique<CrashedMachine>();
  DumpBuilder& machine = crashed->machine;
  crashed->names = {{0, "__crash_kexec"}, {1, "die"},       {2, "__do_kernel_fault"}, {3, "do_page_fault"},
                    {4, "el1h_64_sync"},  {5, "faulty_fn"}, {6, "vfs_write"},         {7, "el0t_64_sync"},
                    {10, "cpu_do_idle"},  {11, "do_idle"}};
  auto fn = [&](unsigned n, uint64_t offset) { return crashed->function(n, offset); };

  VirtAddr stack0 = machine.vmalloc(4), stack1 = machine.vmalloc(4);
  StackFrames on0(machine, stack0, thread_size_4k), on1(machine, stack1, thread_size_4k);
  uint64_t fp = on0.record(on0.user_entry(), fn(7, 0x20));
  fp = on0.record(fp, fn(6, 0x20));
  Registers fault = kernel_registers(fn(5, 0x14), fp, on0.position().value, fn(6, 0x20));
  fp = on0.pt_regs(fault, 304, fp, fn(5, 0x14));
  for (unsigned n : {4u, 3u, 2u, 1u}) fp = on0.record(fp, fn(n, 0x20));
  Registers cpu0 = kernel_registers(fn(0, 0x64), fp, on0.position().value, fn(0, 0x40));
  fp = on1.record(on1.thread_start(), fn(11, 0x20));
  Registers cpu1 = kernel_registers(fn(10, 0x8), fp, on1.position().value, fn(10, 0x4));

  // Per-CPU area: notes at +0, run queue at +0x1000; the template is in the image, CPU n's copy one area
  // further on.
  VirtAddr notes_template = machine.image_alloc(0x2000), rq_template = notes_template + 0x1000;
  VirtAddr areas = machine.alloc(2 * per_cpu_area, 4096), offsets = machine.image_alloc(64 * 8);
  VirtAddr notes_pointer = machine.image_alloc(8), panic_cpu = machine.image_alloc(4);
  machine.put_u64(notes_pointer, notes_template.value);
  machine.put_u32(panic_cpu, 0);
  for (uint64_t cpu : {0, 1}) {
    uint64_t offset = areas.value + cpu * per_cpu_area - notes_template.value;
    machine.put_u64(offsets + cpu * 8, offset);
    VirtAddr task = machine.alloc(0x100);
    machine.put_u64(rq_template + offset + rq_curr, task.value);
    machine.put_u32(task + task_pid,
                    static_cast<uint32_t>(cpu == 0 ? options.first_pid : options.second_pid));
    machine.put_u64(task + task_stack, cpu == 0 ? stack0.value : stack1.value);
    machine.put_text(task + task_comm, cpu == 0 ? "my worker" : "swapper/1");
  }
  put_note(machine, VirtAddr{areas.value}, cpu0, options.first_pid);
  if (options.second_answers)
    put_note(machine, VirtAddr{areas.value + per_cpu_area}, cpu1, options.second_pid);

  auto add_file_note = [&](unsigned cpu) {
    if (cpu == 0) machine.add_cpu(cpu0, options.first_pid);
    if (cpu == 1 && options.second_answers) machine.add_cpu(cpu1, options.second_pid);
  };
  add_file_note(options.second_first_in_file ? 1 : 0);
  add_file_note(options.second_first_in_file ? 0 : 1);
  if (!options.crash_time) machine.erase("CRASHTIME");

  VirtAddr possible = machine.image_alloc(8), online = machine.image_alloc(8);
  machine.put_u64(possible, 0b1011);  // CPU 3 is possible but was never started
  machine.put_u64(online, options.second_answers ? 0b01 : 0b11);
  machine.size("cpumask", 8);
  machine.offset("rq.curr", rq_curr);
  machine.offset("task_struct.pid", task_pid);
  machine.offset("task_struct.stack", task_stack);
  machine.offset("task_struct.comm", task_comm);
  if (options.crash_notes) {
    crashed->variables = {{"crash_notes", notes_pointer},    {"__per_cpu_offset", offsets},
                          {"panic_cpu", panic_cpu},          {"runqueues", rq_template},
                          {"__cpu_possible_mask", possible}, {"__cpu_online_mask", online}};
  }
  crashed->open();
  return crashed;
}

KernelLog null_dereference_log() {
  return log_of(R"(smp: Brought up 1 node, 2 CPUs
Unable to handle kernel NULL pointer dereference at virtual address 0000000000000008
Internal error: Oops: 0000000096000004 [#1] SMP
CPU: 0 UID: 0 PID: 412 Comm: my worker Not tainted 6.12.0-synthetic #1
Call trace:
 faulty_fn+0x14/0x100
 vfs_write+0x20/0x100
 el0t_64_sync+0x20/0x100
Code: d2800001 d2800000 d503233f d50323bf (b900003f)
Starting crashdump kernel...)");
}

}  // namespace kdk::test
