#include "analyze/answers.h"

#include <fmt/format.h>

#include <chrono>
#include <functional>

#include "analyze/examine_activity.h"
#include "analyze/inspect/address.h"
#include "analyze/task_answers.h"
#include "analyze/triage/stalls.h"
#include "analyze/triage/triage.h"
#include "analyze/variable_source.h"
#include "core/base/log.h"

namespace kdk {
namespace {

constexpr size_t max_matches = 64;  // a name like "__func__.0" exists thousands of times

// Runs one section: what it throws becomes a limit, and its time is kept.
class Sections {
 public:
  explicit Sections(Report& report) : report_(report) {}

  void run(std::string_view name, std::string_view path, const std::function<void()>& fill) {
    auto start = std::chrono::steady_clock::now();
    auto unavailable = [&](std::string_view code, std::string_view why) {
      report_.limits.push_back({std::string(path), std::string(code),
                                fmt::format("unavailable: {}", escape_untrusted(why)), "", true});
    };
    try {
      fill();
    } catch (const Error& error) {
      unavailable(error.code() == Errc::fault ? "page_unreadable" : "section_failed", error.message());
    } catch (const std::bad_alloc&) {
      unavailable("section_failed", "out of memory");
    }
    auto spent = std::chrono::steady_clock::now() - start;
    report_.timing.push_back(
        {std::string(name),
         static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(spent).count())});
  }

 private:
  Report& report_;
};

const Arch* arch_of(const Dump& dump) {
  const Arch* arch = find_arch(dump.info().elf_machine);
  return arch != nullptr ? arch : find_arch(dump.info().uts_machine);
}

// Crash and registers, from the kernel when it can be opened and from the notes when not.
std::optional<Crash> crash_of(Session& session, const Arch* arch, std::vector<Limit>& limits) {
  if (Kernel* kernel = session.kernel()) {
    return examine_crash(*kernel, session.log(), session.sources(), limits);
  }
  if (arch == nullptr) return std::nullopt;
  return crash_from_notes(session.dump(), *arch);
}

void prepend(std::vector<Limit>& limits, std::vector<Limit> first) {
  first.insert(first.end(), limits.begin(), limits.end());
  limits = std::move(first);
}

SymbolAnswer::Match match_of(const Symbol& symbol, uint64_t address, const SourceLookup& sources) {
  SymbolAnswer::Match match;
  match.address = address;
  match.symbol = escape_untrusted(symbol.name);
  match.module = escape_untrusted(symbol.module);
  match.offset = address - symbol.address;
  match.size = symbol.size;
  match.type = symbol.type;
  if (symbol.text()) {
    if (auto source = sources.at(address, !symbol.module.empty())) {
      match.file = escape_untrusted(source->file);
      match.line = source->line;
      match.inlines = source->inlines;
    }
  }
  return match;
}

SymbolAnswer answer(Kernel& kernel, const SourceLookup& sources, const std::string& query) {
  SymbolAnswer out;
  out.query = escape_untrusted(query);
  std::optional<uint64_t> address = parse_address(query);
  if (!address && query.find_first_of("+-", 1) != std::string::npos) address = find_address(kernel, query);
  if (address) {
    if (auto hit = kernel.symbols().lookup(*address))
      out.matches.push_back(match_of(hit->symbol, *address, sources));
    return out;
  }
  for (const Symbol& symbol : kernel.symbols().find_all(query)) {
    if (out.matches.size() == max_matches) break;
    out.matches.push_back(match_of(symbol, symbol.address, sources));
  }
  if (out.matches.empty()) {
    // A kernel without kallsyms in the dump still names a few addresses in VMCOREINFO.
    if (auto address_only = kernel.symbol(query)) {
      SymbolAnswer::Match match;
      match.address = address_only->value;
      match.symbol = escape_untrusted(query);
      out.matches.push_back(std::move(match));
    }
  }
  return out;
}

}  // namespace

Report make_report(Session& session) {
  Report report;
  report.arch = arch_of(session.dump());
  Sections sections(report);
  report.input = session.input();
  report.identity = system_from_dump(session.dump());

  Kernel* kernel = nullptr;
  sections.run("kernel", "/evidence", [&] { kernel = session.kernel(); });
  sections.run("log", "/log", [&] { session.log(); });
  sections.run("vmlinux", "/evidence/vmlinux", [&] { session.debug_info(); });
  sections.run("modules", "/modules", [&] {
    if (kernel != nullptr)
      report.modules = examine_modules(*kernel, session.modules(), session.log(), report.limits);
  });
  sections.run("crash", "/crash", [&] { report.crash = crash_of(session, report.arch, report.limits); });
  sections.run("code", "/code", [&] {
    if (kernel != nullptr && report.crash && report.crash->fault && report.crash->fault_registers)
      report.code = faulting_code(*kernel, *report.crash->fault_registers);
  });
  sections.run("identity", "/identity", [&] {
    if (kernel == nullptr) return;
    if (report.identity.build_id.empty()) report.identity.build_id = dump_build_id(*kernel);
    complete_system(report.identity, *kernel, session.log());
  });
  sections.run("signatures", "/signatures", [&] {
    if (report.crash && kernel != nullptr) {
      report.signatures = sign(*report.crash, session.log(), report.identity.build_id);
    }
    if (!report.signatures) {
      report.limits.push_back(
          {"/signatures", "not_recorded", "neither a class nor a function of the crash is known", ""});
    }
  });
  sections.run("tasks", "/tasks", [&] {
    if (kernel != nullptr) report.tasks = examine_tasks(*kernel, report.limits);
  });
  sections.run("waits", "/blocked", [&] {
    if (kernel != nullptr && report.tasks && report.tasks->why_not.empty()) examine_waits(session, report);
  });
  sections.run("memory", "/memory", [&] {
    if (kernel != nullptr) report.memory = examine_memory(*kernel, report.limits);
  });
  if (kernel != nullptr) {
    report.log = examine_log(session.log(), report.crash ? &*report.crash : nullptr, report.limits);
  } else {
    for (const char* path : {"/crash", "/log", "/tasks", "/blocked", "/locks", "/activity", "/modules", "/memory"}) {
      report.limits.push_back({path, "kernel_unreadable", "this needs the kernel's memory", ""});
    }
  }
  report.findings = find_problems(report);
  sections.run("activity", "/activity", [&] {
    if (kernel != nullptr) examine_activity(session, report);
  });
  rank(report.findings);
  note_identity_limits(report.identity, report.limits);
  report.evidence = session.evidence();
  prepend(report.limits, session.common_limits());
  return report;
}

LogReport make_log(Session& session) {
  LogReport report;
  report.input = session.input();
  report.log = session.log();
  note_log_limits(report.log, report.limits);
  prepend(report.limits, session.common_limits());
  return report;
}

BacktraceReport make_backtrace(Session& session, bool all_cpus, bool variables) {
  BacktraceReport report;
  report.input = session.input();
  report.arch = arch_of(session.dump());
  report.all_cpus = all_cpus;
  report.crash = crash_of(session, report.arch, report.limits);
  report.with_variables = variables;
  if (variables && report.crash && session.kernel() != nullptr) {
    VariableSource source(session);
    for (const CpuState& cpu : report.crash->cpus) {
      const bool shown = all_cpus || cpu.crashed || crashing_cpu(*report.crash) == nullptr;
      report.variables.push_back(shown ? source.read(cpu.backtrace, cpu.registers)
                                       : std::vector<FunctionVariables>());
    }
  }
  report.evidence = session.evidence();
  prepend(report.limits, session.common_limits());
  return report;
}

SymbolReport make_symbols(Session& session, const std::vector<std::string>& queries) {
  SymbolReport report;
  report.input = session.input();
  if (Kernel* kernel = session.kernel()) {
    const SourceLookup sources = session.sources();
    const ModuleList& modules = session.modules();
    if (!modules.why_not.empty()) {
      report.limits.push_back({"/answers", "modules_absent", escape_untrusted(modules.why_not), ""});
    }
    for (const std::string& query : queries) report.answers.push_back(answer(*kernel, sources, query));
  }
  report.evidence = session.evidence();
  prepend(report.limits, session.common_limits());
  return report;
}

InfoReport make_info(Session& session) {
  InfoReport report;
  report.input = session.input();
  report.identity = system_from_dump(session.dump());
  uint64_t present = 0;
  for (const PfnRange& range : session.dump().ram()) {
    for (Pfn pfn = range.begin; pfn < range.end; pfn = pfn + 1) {
      if (session.dump().state(pfn) == PageState::present) ++present;
    }
  }
  report.input.present_bytes = present * session.dump().info().page_size;
  report.limits = session.common_limits();
  return report;
}

}  // namespace kdk
