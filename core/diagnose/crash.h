// Crash: the first answer (tiers T0 and T1), small enough for the crash kernel. kdump-capture's summary and
// kdump-analyze's report hold the same struct and print the same JSON (schemas/crash.schema.json).
#pragma once

#include <nlohmann/json_fwd.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/diagnose/fault.h"
#include "core/diagnose/frame.h"
#include "core/diagnose/log_trace.h"
#include "core/diagnose/unwind.h"
#include "core/kernel/kernel.h"
#include "core/kernel/printk.h"

namespace kdk {

// A reason to believe something, pointing at a log record.
struct LogEvidence {
  uint64_t seq = 0;
  std::string text;  // escaped, one line
};

// First-level failure class (reference list: null_deref, bad_paging, bug_on, warn_panic, list_corruption,
// kasan, stack_overflow, serror, hung_task, soft_lockup, hard_lockup, rcu_stall, oom_panic, init_died,
// sysrq_crash, panic, no_panic, ...). Open-ended: readers must accept unknown names.
struct CrashClass {
  std::string name = "unknown";
  std::string title;                  // one line for people
  std::vector<LogEvidence> evidence;  // all matches, the deciding one first
  bool in_interrupt = false;          // the log says so, or the CPU was on its interrupt or NMI stack
};
CrashClass classify(const KernelLog& log);

struct CpuState {
  std::optional<unsigned> cpu;  // nullopt: the note could not be tied to a CPU number
  std::string cpu_source;       // how the number is known: "crash_notes", "log", "note order (a guess)"
  bool crashed = false;         // this CPU panicked
  bool answered = true;         // false: online, but left no note
  std::optional<Registers> registers;  // as in its note: the kdump path on the crashing CPU
  bool user_mode = false;
  std::optional<int32_t> pid;    // task running here
  std::string comm;              // escaped
  std::optional<uint64_t> task;  // task_struct
  Backtrace backtrace;
};

struct Crash {
  std::string panic_message;  // text after "Kernel panic - not syncing: ", or the best line; empty when none
  std::optional<uint64_t> panic_seq;
  CrashClass crash_class;
  std::optional<unsigned> cpu;
  std::optional<int32_t> pid;
  std::string comm;
  std::optional<uint64_t> crash_time;  // seconds since the epoch, VMCOREINFO CRASHTIME
  std::optional<Fault> fault;          // the exception behind the crash; nullopt: none is known
  std::vector<CpuState> cpus;          // in CPU order
  std::optional<Registers>
      fault_registers;  // at the innermost exception boundary of the crashing CPU's trace
  // Log-derived trace of the kernel itself, for comparison: function names, outermost last ("?" entries
  // dropped).
  std::vector<std::string> log_trace;
  // Whether the crashing CPU's backtrace has the same functions in the same order, from the outermost inwards
  // up to panic() or the faulting function. nullopt: nothing to compare.
  std::optional<bool> log_trace_agrees;
  std::string log_trace_difference;   // a sentence when it does not
  std::vector<std::string> problems;  // sentences
};

// Never throws; what cannot be known is in problems. `aids` help the walks of the stacks.
Crash diagnose(Kernel& kernel, const KernelLog& log, const UnwindAids& aids = {});

// Stacks a CPU can be on, from per-CPU variables where symbols allow; empty otherwise.
StackSet cpu_stacks(Kernel& kernel, unsigned cpu);

// As Crash::log_trace_agrees. `difference` gets a sentence when false.
std::optional<bool> trace_agrees(Kernel& kernel, const Backtrace& trace,
                                 const std::vector<LogTraceEntry>& log_trace, std::string& difference);

const CpuState* crashing_cpu(const Crash& crash);

// schemas/crash.schema.json. `arch` names the registers.
nlohmann::ordered_json to_json(const Crash& crash, const Arch& arch);
nlohmann::ordered_json to_json(const Backtrace& trace, const Arch& arch);
nlohmann::ordered_json to_json(const Registers& registers, const Arch& arch);

// "0x" + 16 hex digits: every 64-bit value in every JSON of ours.
std::string hex64(uint64_t value);

}  // namespace kdk
