// Fills the report, section by section. A section that fails becomes an entry in limits ("unavailable: why"),
// and the rest goes on: one bad page must not cost the answer.
#pragma once

#include <vector>

#include "analyze/symbols/debug_info.h"
#include "analyze/unwind/annotate.h"
#include "analyze/triage/report.h"
#include "core/formats/dump.h"
#include "core/kernel/kernel.h"
#include "core/kernel/modules.h"
#include "core/kernel/printk.h"

namespace kdk {

// The crash with source lines where `sources` has them; limits say what it lacks.
Crash examine_crash(Kernel& kernel, const KernelLog& log, const SourceLookup& sources,
                    std::vector<Limit>& limits);
// What the notes alone tell when the kernel cannot be opened: registers per note, in note order.
Crash crash_from_notes(const Dump& dump, const Arch& arch);

// Modules as walked, else their names from the last "Modules linked in:" line of the log.
ModulesFacts examine_modules(Kernel& kernel, const ModuleList& list, const KernelLog& log,
                             std::vector<Limit>& limits);
TaskList examine_tasks(Kernel& kernel, std::vector<Limit>& limits);
MemorySummary examine_memory(Kernel& kernel, std::vector<Limit>& limits);
// The log from shortly before the first sign of the crash to its end, at most `max_records`.
LogFacts examine_log(const KernelLog& log, const Crash* crash, std::vector<Limit>& limits,
                     size_t max_records = 240);

// Adds a limit for every identity field that stayed unknown.
void note_identity_limits(const SystemInfo& identity, std::vector<Limit>& limits);
// The log's own problems; an unreadable log is damage, a gap is not.
void note_log_limits(const KernelLog& log, std::vector<Limit>& limits);

}  // namespace kdk
