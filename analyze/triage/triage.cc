#include "analyze/triage/triage.h"

#include <fmt/format.h>

#include <algorithm>

#include "analyze/unwind/vmlinux_aids.h"
#include "core/base/log.h"

namespace kdk {
namespace {

constexpr std::string_view need_vmlinux = "the vmlinux of this build (--vmlinux FILE)";

// Why a walk over `type` from `symbol` could not start, as a stable code.
std::string absence_code(Kernel& kernel, std::string_view symbol, std::string_view type) {
  if (!kernel.symbol(symbol)) return "symbol_absent";
  if (!kernel.layout().size_of(type)) return "type_absent";
  return "corrupt";
}

}  // namespace

Crash examine_crash(Kernel& kernel, const KernelLog& log, const SourceLookup& sources,
                    std::vector<Limit>& limits) {
  const VmlinuxAids aids(sources.vmlinux, sources.modules);
  Crash crash = diagnose(kernel, log, aids.aids());
  annotate(crash, sources);
  if (!aids.orc_problem().empty()) {
    limits.push_back({"/evidence/vmlinux", "orc_unusable", escape_untrusted(aids.orc_problem()), ""});
  }
  for (const std::string& problem : crash.problems) {
    limits.push_back({"/crash", "crash_incomplete", escape_untrusted(problem), ""});
  }
  return crash;
}

Crash crash_from_notes(const Dump& dump, const Arch& arch) {
  Crash crash;
  crash.crash_time = dump.vmcoreinfo().decimal("CRASHTIME");
  for (const Note& note : dump.notes()) {
    if (note.name != "CORE" || note.type != nt_prstatus) continue;
    CpuState cpu;
    int32_t pid = 0;
    cpu.registers = arch.registers_from_prstatus(note.desc, &pid);
    if (!cpu.registers) {
      crash.problems.push_back("a register note is too short");
      continue;
    }
    cpu.cpu_source = "note order (a guess)";
    cpu.cpu = static_cast<unsigned>(crash.cpus.size());
    cpu.pid = pid;
    cpu.user_mode = arch.user_mode(*cpu.registers);
    cpu.backtrace.end = "the kernel's memory cannot be interpreted";
    crash.cpus.push_back(std::move(cpu));
  }
  return crash;
}

ModulesFacts examine_modules(Kernel& kernel, const ModuleList& list, const KernelLog& log,
                             std::vector<Limit>& limits) {
  ModulesFacts facts;
  facts.list = list;
  for (const std::string& problem : list.problems) {
    limits.push_back({"/modules", "modules_incomplete", escape_untrusted(problem), ""});
  }
  if (list.why_not.empty()) {
    facts.source = "modules";
    return facts;
  }
  std::string code = absence_code(kernel, "modules", "module");
  limits.push_back(
      {"/modules", code, escape_untrusted(list.why_not), std::string(need_vmlinux), code == "corrupt"});
  // "Modules linked in: a(OE) b c [last unloaded: d]": kernel/module/main.c print_modules().
  constexpr std::string_view prefix = "Modules linked in:";
  for (auto record = log.records.rbegin(); record != log.records.rend(); ++record) {
    size_t at = record->text.find(prefix);
    if (at == std::string::npos) continue;
    std::string_view rest = std::string_view(record->text).substr(at + prefix.size());
    rest = rest.substr(0, rest.find('['));
    while (!rest.empty()) {
      size_t begin = rest.find_first_not_of(" \n");
      if (begin == std::string_view::npos) break;
      rest.remove_prefix(begin);
      std::string_view word = rest.substr(0, rest.find_first_of(" \n"));
      rest.remove_prefix(word.size());
      Module module;
      size_t flags = word.find('(');
      module.name = escape_untrusted(word.substr(0, flags));
      if (flags != std::string_view::npos) {
        std::string_view letters = word.substr(flags + 1);
        module.taint_letters = escape_untrusted(letters.substr(0, letters.find(')')));
      }
      facts.list.modules.push_back(std::move(module));
    }
    facts.source = "log";
    break;
  }
  return facts;
}

TaskList examine_tasks(Kernel& kernel, std::vector<Limit>& limits) {
  TaskList tasks = read_tasks(kernel);
  if (!tasks.why_not.empty()) {
    std::string code = absence_code(kernel, "init_task", "task_struct");
    limits.push_back({"/tasks", code, tasks.why_not, std::string(need_vmlinux), code == "corrupt"});
    return tasks;
  }
  if (tasks.heuristic) {
    limits.push_back({"/tasks", "heuristic",
                      "the symbol init_task is not known: it was recognised by its content",
                      std::string(need_vmlinux)});
  }
  for (const std::string& problem : tasks.problems) {
    limits.push_back({"/tasks", tasks.damaged ? "corrupt" : "tasks_incomplete", problem, "", tasks.damaged});
  }
  return tasks;
}

MemorySummary examine_memory(Kernel& kernel, std::vector<Limit>& limits) {
  MemorySummary memory = read_memory_summary(kernel);
  if (!memory.missing.empty()) {
    std::string code = memory.damaged                      ? "page_unreadable"
                       : !kernel.symbol("_totalram_pages") ? "symbol_absent"
                       : !kernel.layout().has_types()      ? "type_absent"
                                                           : "counter_absent";
    limits.push_back({"/memory", code, fmt::format("{}", fmt::join(memory.missing, "; ")),
                      memory.damaged ? "" : std::string(need_vmlinux), memory.damaged});
  }
  return memory;
}

LogFacts examine_log(const KernelLog& log, const Crash* crash, std::vector<Limit>& limits,
                     size_t max_records) {
  constexpr size_t lead = 12;  // records before the first sign, for context
  constexpr size_t min_tail = 40;
  note_log_limits(log, limits);
  LogFacts facts;
  facts.source = log.source;
  facts.total_records = log.records.size();
  facts.problems = log.problems;
  for (std::string& problem : facts.problems) problem = escape_untrusted(problem);
  if (log.records.empty()) return facts;

  size_t first = log.records.size() - std::min(log.records.size(), min_tail);
  if (crash != nullptr) {
    uint64_t sign = crash->panic_seq.value_or(log.records.back().seq);
    for (const LogEvidence& evidence : crash->crash_class.evidence) sign = std::min(sign, evidence.seq);
    size_t index = static_cast<size_t>(
        std::lower_bound(log.records.begin(), log.records.end(), sign,
                         [](const LogRecord& record, uint64_t seq) { return record.seq < seq; }) -
        log.records.begin());
    first = std::min(first, index - std::min(index, lead));
  }
  auto begin = log.records.begin() + static_cast<ptrdiff_t>(first);
  size_t count = log.records.size() - first;
  if (count <= max_records) {
    facts.tail.assign(begin, log.records.end());
    return facts;
  }
  // Where it began and how it ended matter; a storm between them does not.
  size_t head = max_records * 2 / 3;
  facts.tail.assign(begin, begin + static_cast<ptrdiff_t>(head));
  facts.gap_after = head - 1;
  facts.tail.insert(facts.tail.end(), log.records.end() - static_cast<ptrdiff_t>(max_records - head),
                    log.records.end());
  return facts;
}

void note_log_limits(const KernelLog& log, std::vector<Limit>& limits) {
  bool unreadable = log.records.empty();
  for (const std::string& problem : log.problems) {
    limits.push_back({"/log", unreadable ? "log_unreadable" : "log_incomplete", escape_untrusted(problem), "",
                      unreadable});
  }
  if (unreadable && log.problems.empty())
    limits.push_back({"/log", "log_empty", "the kernel log is empty", ""});
}

void note_identity_limits(const SystemInfo& identity, std::vector<Limit>& limits) {
  auto note = [&](bool absent, std::string_view field, std::string_view why, std::string_view need) {
    if (absent) {
      limits.push_back(
          {fmt::format("/identity/{}", field), "not_recorded", std::string(why), std::string(need)});
    }
  };
  note(identity.release.empty(), "release", "neither VMCOREINFO nor the dump header names the release", "");
  note(identity.version.empty(), "version", "init_uts_ns could not be read", "");
  note(identity.hostname.empty(), "hostname", "init_uts_ns could not be read", "");
  note(identity.build_id.empty(), "build_id",
       "VMCOREINFO has no BUILD-ID, and none was found in the kernel image", "");
  note(!identity.crash_time, "crash_time",
       "VMCOREINFO has no CRASHTIME: the dump was not taken by a crash kernel", "");
  note(!identity.uptime_ns, "uptime_ms", "the log has no records to take a time from", "");
  note(!identity.kaslr_offset, "kaslr_offset", "VMCOREINFO has no KERNELOFFSET", "");
  note(identity.taint_source.empty(), "taint", "tainted_mask is not known and the log has no oops header",
       need_vmlinux);
  note(identity.command_line_source.empty(), "command_line",
       "saved_command_line is not known and its line is no longer in the log", need_vmlinux);
  note(!identity.cpus_online, "cpus_online", "__cpu_online_mask is not known or cannot be read",
       need_vmlinux);
  note(!identity.cpus_possible, "cpus_possible", "__cpu_possible_mask is not known or cannot be read",
       need_vmlinux);
}

}  // namespace kdk
