#include "core/diagnose/crash.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <span>

#include "core/base/log.h"
#include "core/diagnose/classify.h"
#include "core/diagnose/cpus.h"
#include "core/diagnose/fault_decoder.h"
#include "core/diagnose/log_trace.h"
#include "core/kernel/modules.h"

namespace kdk {
namespace {

// How many frames are inside of panic(), where a CPU that no crash kernel takes over waits for ever: the
// interrupts it takes there are no part of the crash. 0 when the trace begins where the crash path saved its
// registers, or in a fault.
size_t inside_panic(const Backtrace& trace) {
  static constexpr auto ends =
      std::to_array<std::string_view>({"die", "oops_end", "crash_kexec", "__crash_kexec"});
  for (size_t i = 0; i < trace.frames.size(); ++i) {
    const Frame& frame = trace.frames[i];
    if (!frame.module.empty()) continue;
    if (frame.symbol == "panic" || frame.symbol == "vpanic") return i;
    if (std::ranges::find(ends, frame.symbol) != ends.end()) return 0;
  }
  return 0;
}

// Frames outside the kernel image need the modules' symbol tables.
bool needs_modules(const std::vector<CpuState>& cpus) {
  for (const CpuState& cpu : cpus) {
    for (const Frame& frame : cpu.backtrace.frames) {
      if (frame.symbol.empty() && !frame.image_offset) return true;
    }
  }
  return false;
}

void unwind_cpu(Kernel& kernel, CpuState& state, const UnwindAids& aids, std::vector<std::string>& problems) {
  if (!state.registers) {
    state.backtrace.end = state.answered ? "no registers" : "the CPU left no registers";
    return;
  }
  try {
    StackSet stacks = state.cpu ? cpu_stacks(kernel, *state.cpu) : StackSet{};
    state.backtrace = unwind_from_registers(kernel, *state.registers, stacks, aids);
    symbolise(kernel, state.backtrace);
    for (const std::string& problem : state.backtrace.problems) {
      // The same tables are missing for every CPU.
      if (std::find(problems.begin(), problems.end(), problem) == problems.end()) problems.push_back(problem);
    }
  } catch (const Error& e) {  // one CPU's stack must not cost the others theirs
    state.backtrace.end = e.message();
    problems.push_back(
        fmt::format("CPU {}: backtrace: {}", state.cpu ? std::to_string(*state.cpu) : "?", e.message()));
  }
}

// A kernel that dies of an exception hands its registers to the crash path: then the note of the crashing CPU
// is that exception's pt_regs, and the trace begins where it hit. Only kdump does so (CRASHTIME), and it
// takes symbols to know that the crash path did not save itself.
void mark_fault(Kernel& kernel, CpuState& crashed) {
  if (!crashed.registers || crashed.backtrace.frames.empty()) return;
  if (!kernel.vmcoreinfo().decimal("CRASHTIME") || !kernel.symbols().find("__crash_kexec")) return;
  if (in_crash_path(kernel, *crashed.registers)) return;
  Frame& innermost = crashed.backtrace.frames.front();
  innermost.kind = FrameKind::exception;
  innermost.registers = crashed.registers;
}

// The functions in which the kernel prints its trace: our trace starts elsewhere in the crash path, so up to
// one of these the two may differ.
bool starts_report(std::string_view function) {
  static constexpr std::array<std::string_view, 6> names = {"panic", "vpanic",      "nmi_panic",
                                                            "die",   "crash_kexec", "__crash_kexec"};
  return std::find(names.begin(), names.end(), function) != names.end();
}

// A log without a panic means that there was none only when it is whole and nothing else says that the kernel
// crashed; a dump that was cut short may have lost the very lines.
void doubt_no_panic(const Kernel& kernel, const KernelLog& log, CrashClass& crash_class) {
  if (crash_class.name != "no_panic") return;
  const bool damaged = !log.problems.empty() || kernel.dump().info().incomplete;
  if (log.records.empty()) {
    crash_class.title = "What happened is not known: the kernel log is not in the dump, or cannot be read";
  } else if (damaged) {
    crash_class.title = "What happened is not known: the log shows no panic or oops, but data is missing";
  } else if (kernel.vmcoreinfo().decimal("CRASHTIME")) {  // only the crash path of kdump writes that
    crash_class.title = "The kernel crashed, but its log names no panic or oops";
  } else {
    return;
  }
  crash_class.name = "unknown";
}

// The kernel prints the symbol of a return address itself, we that of the call before it: they differ when a
// call that never returns ends its function.
bool same_function(Kernel& kernel, const Frame& frame, const LogTraceEntry& entry) {
  if (frame.symbol == entry.function) return true;
  // What has no name is printed as a number.
  if (frame.symbol.empty()) return entry.function == fmt::format("{:#x}", frame.pc);
  if (!frame.pc_is_return_address) return false;
  std::optional<SymbolHit> hit = kernel.symbols().lookup(frame.pc);
  return hit && hit->symbol.name == entry.function;
}

}  // namespace

std::optional<bool> trace_agrees(Kernel& kernel, const Backtrace& trace,
                                 const std::vector<LogTraceEntry>& log_trace, std::string& difference) {
  std::vector<const Frame*> frames;
  for (const Frame& frame : trace.frames) {
    // The kernel does not guess at link registers.
    if (frame.kind != FrameKind::lr_candidate) frames.push_back(&frame);
  }
  bool named = std::any_of(frames.begin(), frames.end(), [](const Frame* f) { return !f->symbol.empty(); });
  if (log_trace.empty() || !named) return std::nullopt;

  size_t ours = frames.size(), theirs = log_trace.size();
  // x86-64's own unwinder has no rules where no code is: all behind that are guesses, and are not in
  // log_trace.
  auto bad_call = std::ranges::find(frames, FrameKind::bad_call, &Frame::kind);
  if (theirs == 1 && bad_call != frames.end() && bad_call != frames.begin() &&
      same_function(kernel, **std::prev(bad_call), log_trace[0])) {
    return std::nullopt;
  }
  bool met_report = false;
  while (ours > 0 && theirs > 0) {
    if (!same_function(kernel, *frames[ours - 1], log_trace[theirs - 1])) {
      // arm64's does not look at the link register.
      if (frames[ours - 1]->kind != FrameKind::bad_call) break;
      --ours;
      continue;
    }
    --ours;
    --theirs;
    if (starts_report(log_trace[theirs].function)) {
      met_report = true;
      break;
    }
  }
  if (theirs == 0 || met_report) return true;
  difference = fmt::format("the kernel printed {} where our trace has {}", log_trace[theirs - 1].function,
                           ours == 0                          ? std::string("no more frames")
                           : frames[ours - 1]->symbol.empty() ? hex64(frames[ours - 1]->pc)
                                                              : frames[ours - 1]->symbol);
  return false;
}

const CpuState* crashing_cpu(const Crash& crash) {
  auto found =
      std::find_if(crash.cpus.begin(), crash.cpus.end(), [](const CpuState& s) { return s.crashed; });
  return found == crash.cpus.end() ? nullptr : &*found;
}

Crash diagnose(Kernel& kernel, const KernelLog& log, const UnwindAids& aids) {
  Crash crash;
  crash.crash_class = classify(log);
  const bool no_panic = crash.crash_class.name == "no_panic";  // in what there is of the log
  doubt_no_panic(kernel, log, crash.crash_class);
  crash.crash_time = kernel.vmcoreinfo().decimal("CRASHTIME");

  std::optional<size_t> crash_record;
  if (!crash.crash_class.evidence.empty() && !no_panic) {
    uint64_t seq = crash.crash_class.evidence.front().seq;
    for (size_t i = 0; i < log.records.size() && !crash_record; ++i) {
      if (log.records[i].seq == seq) crash_record = i;
    }
  }
  if (std::optional<PanicLine> panic = find_panic_line(log)) {
    crash.panic_message = panic->message;
    crash.panic_seq = log.records[panic->record].seq;
  } else if (crash_record) {
    crash.panic_message = crash.crash_class.evidence.front().text;
    crash.panic_seq = crash.crash_class.evidence.front().seq;
  }
  LogCrash from_log = find_log_crash(log, crash_record);
  for (const LogTraceEntry& entry : from_log.trace) crash.log_trace.push_back(entry.function);
  // A dump of a live system has traces of warnings only: whoever printed them did not crash.
  if (no_panic) from_log.cpu_line.reset();

  crash.cpus = collect_cpus(kernel, log, from_log.cpu_line, crash.problems);
  for (CpuState& state : crash.cpus) unwind_cpu(kernel, state, aids, crash.problems);
  if (needs_modules(crash.cpus)) {
    ModuleList modules = read_modules(kernel);
    if (!modules.why_not.empty()) {
      crash.problems.push_back("frames in modules have no names: " + modules.why_not);
    }
    for (CpuState& state : crash.cpus) symbolise(kernel, state.backtrace);
  }

  const CpuState* crashed = nullptr;
  for (CpuState& state : crash.cpus) {
    if (!state.crashed) continue;
    mark_fault(kernel, state);
    crashed = &state;
    break;
  }
  if (crashed) {
    crash.cpu = crashed->cpu;
    crash.pid = crashed->pid;
    crash.comm = crashed->comm;
    const auto crash_frames = std::span(crashed->backtrace.frames).subspan(inside_panic(crashed->backtrace));
    for (const Frame& frame : crash_frames) {
      if (frame.kind != FrameKind::exception || !frame.registers) continue;
      crash.fault_registers = frame.registers;
      break;
    }
    crash.log_trace_agrees =
        trace_agrees(kernel, crashed->backtrace, from_log.trace, crash.log_trace_difference);
    // With panic_on_oops the crash kernel starts before "Fatal exception in interrupt" would be said
    // (oops_end in arch/x86/kernel/dumpstack.c, die in arch/arm64/kernel/traps.c).
    for (const Frame& frame : crash_frames) {
      if (frame.stack == "irq" || frame.stack == "nmi") crash.crash_class.in_interrupt = true;
    }
  } else if (crash.crash_class.name != "no_panic") {
    crash.problems.push_back("which CPU crashed is unknown");
  }
  if (crash.crash_class.name != "no_panic") {
    std::optional<VirtAddr> task;
    if (crashed && crashed->task) task = VirtAddr{*crashed->task};
    crash.fault = find_fault(kernel, log, crash_record, crashed ? &crashed->backtrace : nullptr, task);
    // Of such accesses x86-64's log names none by what it was, or only that it was an execution.
    if (crash.fault && crash.crash_class.name == "bad_paging") {
      std::string_view title = forbidden_access(kernel.memory().arch(), *crash.fault);
      if (!title.empty()) crash.crash_class.title = title;
    }
    // The log only says that the address cannot be executed.
    if (crash.fault && crash.crash_class.name == "bad_paging" &&
        failed_authentication(kernel.memory(), *crash.fault)) {
      crash.crash_class.name = "fpac";
      crash.crash_class.title = class_title("fpac");
    }
  }
  if (from_log.cpu_line) {
    if (!crash.cpu) crash.cpu = from_log.cpu_line->cpu;
    if (!crash.pid) crash.pid = from_log.cpu_line->pid;
    if (crash.comm.empty()) crash.comm = from_log.cpu_line->comm;
  }
  return crash;
}

}  // namespace kdk
