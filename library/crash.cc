// Tasks, stacks, CPUs, and why the kernel died.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "core/diagnose/task_trace.h"
#include "core/kernel/tasks.h"
#include "library/handle.h"

using namespace kdk;

namespace {

int64_t known(const auto& value) {
  return value ? static_cast<int64_t>(*value) : -1;
}

kdumpkit_registers fill_registers(Arena& arena, const std::optional<Registers>& registers, const Arch& arch) {
  std::vector<const kdumpkit_register*> items;
  const auto names = arch.register_names();
  for (size_t i = 0; registers && i < names.size(); ++i) {
    const auto value = registers->get(i);
    if (!value) continue;
    kdumpkit_register& item = arena.make<kdumpkit_register>();
    item = {arena.raw(names[i]), *value};
    items.push_back(&item);
  }
  return {items.size(), arena.array(items)};
}

void fill_backtrace(kdumpkit_backtrace& out, Arena& arena, const Backtrace& trace, const Arch& arch) {
  std::vector<const kdumpkit_frame*> items;
  for (const Frame& frame : trace.frames) {
    kdumpkit_frame& item = arena.make<kdumpkit_frame>();
    item.pc = frame.pc;
    item.is_return_address = frame.pc_is_return_address;
    item.kind = arena.raw(to_string(frame.kind));
    item.trust = arena.raw(to_string(frame.trust));
    item.stack = arena.text(frame.stack);
    item.symbol = arena.text(frame.symbol);
    item.symbol_offset = frame.symbol_offset;
    item.symbol_size = frame.symbol_size;
    item.module = arena.text(frame.module);
    item.at = frame.at.value_or(0);
    item.registers = fill_registers(arena, frame.registers, arch);
    items.push_back(&item);
  }
  out.count = items.size();
  out.items = arena.array(items);
  out.complete = trace.complete;
  out.end = arena.text(trace.end);
  out.problems = arena.strings(trace.problems);
}

const kdumpkit_cpu& make_cpu(Arena& arena, const CpuState& cpu, const Arch& arch) {
  kdumpkit_cpu& item = arena.make<kdumpkit_cpu>();
  item.cpu = known(cpu.cpu);
  item.cpu_source = arena.text(cpu.cpu_source);
  item.crashed = cpu.crashed;
  item.answered = cpu.answered;
  item.user_mode = cpu.user_mode;
  item.pid = known(cpu.pid);
  item.comm = arena.text(cpu.comm);
  item.task = cpu.task.value_or(0);
  item.registers = fill_registers(arena, cpu.registers, arch);
  kdumpkit_backtrace& trace = arena.make<kdumpkit_backtrace>();
  fill_backtrace(trace, arena, cpu.backtrace, arch);
  item.backtrace = &trace;
  return item;
}

}  // namespace

int kdumpkit_dump_tasks(kdumpkit_dump* dump, kdumpkit_tasks** tasks, kdumpkit_error** error) {
  return make_result(dump, tasks, error, [&](Owned<kdumpkit_tasks>& out) {
    const TaskList list = read_tasks(dump->kernel());
    if (list.tasks.empty() && !list.why_not.empty()) throw Error(Errc::missing, list.why_not);
    Arena& arena = out.arena;
    std::vector<const kdumpkit_task*> items;
    for (const Task& task : list.tasks) {
      kdumpkit_task& item = arena.make<kdumpkit_task>();
      item.address = task.address;
      item.pid = known(task.pid);
      item.tgid = known(task.tgid);
      item.ppid = known(task.ppid);
      item.comm = arena.text(task.comm);
      item.state = arena.raw({&task.state, 1});
      item.state_name = arena.raw(task_state_name(task.state));
      item.cpu = known(task.cpu);
      item.on_cpu = static_cast<int>(known(task.on_cpu));
      item.kernel_thread = task.kernel_thread;
      items.push_back(&item);
    }
    out.set_items(items);
    out.complete = list.complete;
    out.problems = arena.strings(list.problems);
  });
}

void kdumpkit_tasks_free(kdumpkit_tasks* tasks) {
  free_owned(tasks);
}

int kdumpkit_dump_task_backtrace(kdumpkit_dump* dump, uint64_t task, kdumpkit_backtrace** backtrace,
                                 kdumpkit_error** error) {
  return make_result(dump, backtrace, error, [&](Owned<kdumpkit_backtrace>& out) {
    Kernel& kernel = dump->kernel();
    const Task facts = read_task(kernel, {task});
    const Crash* crash = facts.on_cpu.value_or(false) ? &dump->crash() : nullptr;
    dump->opened.modules();  // the names of frames in them
    const TaskTrace trace = trace_task(kernel, facts, crash, {});
    if (!trace.why_not.empty() && trace.trace.frames.empty()) not_found(trace.why_not);
    fill_backtrace(out, out.arena, trace.trace, kernel.memory().arch());
  });
}

void kdumpkit_backtrace_free(kdumpkit_backtrace* backtrace) {
  free_owned(backtrace);
}

int kdumpkit_dump_crash(kdumpkit_dump* dump, kdumpkit_crash** result, kdumpkit_error** error) {
  return make_result(dump, result, error, [&](Owned<kdumpkit_crash>& out) {
    const Crash& crash = dump->crash();
    const Arch& arch = dump->kernel().memory().arch();
    Arena& arena = out.arena;
    out.class_name = arena.text(crash.crash_class.name);
    out.class_title = arena.text(crash.crash_class.title);
    out.panic_message = arena.text(crash.panic_message);
    out.in_interrupt = crash.crash_class.in_interrupt;
    out.cpu = known(crash.cpu);
    out.pid = known(crash.pid);
    out.comm = arena.text(crash.comm);
    out.time = known(crash.crash_time);
    out.fault = crash.fault ? arena.text(describe(*crash.fault)) : "";
    if (crash.fault && crash.fault->address) {
      out.has_fault_address = 1;
      out.fault_address = *crash.fault->address;
    }
    std::vector<const kdumpkit_cpu*> cpus;
    for (const CpuState& cpu : crash.cpus) {
      cpus.push_back(&make_cpu(arena, cpu, arch));
      if (cpu.crashed && out.crashed_cpu == nullptr) out.crashed_cpu = cpus.back();
    }
    out.cpu_count = cpus.size();
    out.cpus = arena.array(cpus);
    out.log_trace = arena.strings(crash.log_trace);
    out.log_trace_agrees = static_cast<int>(known(crash.log_trace_agrees));
    out.problems = arena.strings(crash.problems);
    out.json = arena.raw(to_json(crash, arch).dump());
  });
}

void kdumpkit_crash_free(kdumpkit_crash* crash) {
  free_owned(crash);
}
