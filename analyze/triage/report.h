// The report: plain structs that triage fills and every renderer reads. No renderer sees a dump, and no
// walker prints. The kernel facts are the structs of core and inspect themselves; this header re-exports
// them.
//
// Text that came out of the dump is escaped where it enters the model (core/base/log.h escape_untrusted), so
// a renderer may print it as it stands. The one exception are log records, which hold raw bytes for exact
// comparison.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "analyze/inspect/faulting_code.h"
#include "analyze/inspect/locks.h"
#include "analyze/inspect/memory.h"
#include "analyze/inspect/task_stacks.h"
#include "analyze/symbols/variable_facts.h"
#include "analyze/triage/activity.h"
#include "analyze/triage/answer.h"
#include "analyze/triage/crash_signature.h"
#include "analyze/triage/findings.h"
#include "core/diagnose/crash.h"
#include "core/formats/dump.h"
#include "core/kernel/modules.h"
#include "core/kernel/printk.h"
#include "core/kernel/system.h"
#include "core/kernel/tasks.h"

namespace kdk {

struct ModulesFacts {
  ModuleList list;
  // "modules": walked. "log": only names, from the last "Modules linked in:" line. Empty: unknown.
  std::string source;
};

// The end of the log that matters. `records` are indexes into nothing: copies, in order.
struct LogFacts {
  std::string source;  // as KernelLog
  uint64_t total_records = 0;
  std::vector<LogRecord> tail;
  std::optional<size_t> gap_after;  // records were left out after tail[gap_after]
  std::vector<std::string> problems;
};

struct Phase {
  std::string name;
  uint64_t microseconds = 0;
};

// What was taken out of a report for others to read, see redact.h.
enum class RedactionLevel : uint8_t { none, normal, strict };
std::string_view to_string(RedactionLevel level);  // "none", "default", "strict"
struct Redaction {
  RedactionLevel level = RedactionLevel::none;
  std::map<std::string, uint64_t> counts;  // by kind of thing ("host", "mac"), how often it was replaced
};

struct Report {
  InputFacts input;
  Evidence evidence;
  SystemInfo identity;
  const Arch* arch = nullptr;  // names the registers; nullptr: architecture unknown
  std::optional<Crash> crash;  // each optional: nullopt = unavailable, and limits says why
  std::optional<FaultingCode> code;  // that raised crash->fault
  std::optional<Signatures> signatures;
  std::optional<TaskList> tasks;
  std::optional<TaskStacks> blocked;  // of tasks in state D, grouped
  std::optional<LockListing> locks;
  std::optional<Activity> activity;
  std::optional<ModulesFacts> modules;
  std::optional<MemorySummary> memory;
  std::optional<LogFacts> log;
  std::vector<Finding> findings;
  std::vector<Limit> limits;
  Redaction redaction;
  std::vector<Phase> timing;
};

// `kdump-analyze log`, `bt`, `sym`: the same facts, cut to the question. (Questions of one walker each need
// no struct here: answer.h.)
struct LogReport {
  InputFacts input;
  KernelLog log;
  std::vector<Limit> limits;
};
struct BacktraceReport {
  InputFacts input;
  Evidence evidence;
  const Arch* arch = nullptr;
  std::optional<Crash> crash;
  bool all_cpus = false;
  bool with_variables = false;
  std::vector<std::vector<FunctionVariables>> variables;  // by index in crash->cpus; of those shown
  std::vector<Limit> limits;
};
struct SymbolAnswer {
  std::string query;  // escaped
  struct Match {
    uint64_t address = 0;        // of the query (address) or of the symbol (name)
    std::string symbol, module;  // escaped; module empty: the kernel
    uint64_t offset = 0, size = 0;
    char type = '?';   // nm letter
    std::string file;  // with DWARF only
    unsigned line = 0;
    std::vector<InlineFrame> inlines;
  };
  std::vector<Match> matches;  // empty: not found
};
struct SymbolReport {
  InputFacts input;
  Evidence evidence;
  std::vector<SymbolAnswer> answers;
  std::vector<Limit> limits;
};
struct InfoReport {
  InputFacts input;
  SystemInfo identity;
  std::vector<Limit> limits;
};

// Who did it, as far as a trace tells; both nullptr when it does not.
struct Culprit {
  const Frame* frame = nullptr;
  // The kernel's own check that noticed, or the address that cannot be executed; nullptr: it failed by
  // itself.
  const Frame* noticed_by = nullptr;
  const Task* task = nullptr;  // whose stack it is on, when that is not the crashing CPU's
};
// Of one trace: where the innermost exception or interrupt outside of panic() hit, else who called panic().
Culprit culprit(const Backtrace& trace);
// The same of the CPU that crashed, or of the one that a watchdog wrote about. Who called panic() in an
// interrupt counts before what was interrupted, unless the panic is about just that: a lockup, a watchdog, an
// NMI.
Culprit culprit(const Crash& crash);
// The same of the whole report: for a hung task, where that task waits.
Culprit culprit(const Report& report);

}  // namespace kdk
