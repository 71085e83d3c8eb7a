// The report as an engineer reads it at three in the morning: the answer first, the trace next, tables last.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

#include "analyze/render/activity.h"
#include "analyze/render/memory_parts.h"
#include "analyze/render/render.h"
#include "analyze/render/text_parts.h"
#include "analyze/render/waits.h"
#include "core/base/log.h"

namespace kdk {
namespace {

using text::heading;

constexpr size_t max_task_rows = 60;

std::string fact(std::string_view label, std::string_view value) {
  if (value.empty()) return {};
  return text::wrap(fmt::format("{:<9}", label), value, std::string(9, ' '));
}

// Where each fact of the headline comes from.
std::string fault_section(const Fault& fault, const FaultingCode* code) {
  std::string out = heading("FAULT");
  auto row = [&](std::string_view label, const std::string& value, std::string_view source) {
    out += text::wrap(fmt::format("  {:<12}", label),
                      source.empty() ? value : fmt::format("{} (from the {})", value, source),
                      std::string(14, ' '));
  };
  row("exception", fault.title, fault.exception_source);
  if (fault.error_code) row("error code", text::error_code(fault), fault.error_code_source);
  if (fault.address) {
    std::string note = fault.address_note.empty() ? "" : "; " + fault.address_note;
    row("address", fmt::format("{:#018x}{}", *fault.address, note), fault.address_source);
  }
  if (fault.tables) row("page tables", text::page_tables(*fault.tables), "dump");
  if (code != nullptr) row("instruction", text::faulting_code(*code), "dump");
  return out;
}

std::string headline(const Report& report) {
  const SystemInfo& id = report.identity;
  std::string out;
  if (report.crash) {
    const Crash& crash = *report.crash;
    out += fact("PANIC", crash.panic_message.empty() ? "no panic message" : crash.panic_message);
    std::string title = crash.crash_class.title.empty() ? "" : ": " + crash.crash_class.title;
    out += fact("CLASS", crash.crash_class.name + title);
    if (crash.fault) out += fact("FAULT", text::fault_line(*crash.fault));
    if (const Culprit who = culprit(report); who.frame != nullptr) {
      const std::string check = who.noticed_by != nullptr ? "; " + text::noticed_by(who) : "";
      out += fact("WHERE", text::frame_and_position(*who.frame) + check);
      if (who.task != nullptr) out += fact("TASK", text::task_name(*who.task));
    }
    out += fact("ON", text::who(crash));
  } else {
    out += fact("PANIC", "the crash could not be examined, see LIMITS");
  }
  out += fact("KERNEL", fmt::format("{} {}, {}", text::or_unknown(id.release), id.machine, text::taint(id)));
  out += fact("HOST", text::host(report));
  out += fact("TIME", text::crash_time(id));
  out += fact("BASIS", text::basis(report.evidence));
  for (const std::string& line : report.input.erased) out += fact("ERASED", line);
  // A vmlinux that is refused also ends in exit code 3, but says nothing about the dump.
  size_t damage = 0, refused = 0;
  for (const Limit& limit : report.limits) {
    if (limit.damage) ++(limit.code == "debug_info_refused" ? refused : damage);
  }
  if (damage != 0) {
    out += fact("DAMAGE", fmt::format("the input is damaged or incomplete in {} place{}, see LIMITS", damage,
                                      damage == 1 ? "" : "s"));
  }
  if (refused != 0) out += fact("REFUSED", "the vmlinux given, see LIMITS");
  return out;
}

std::string crash_section(const Report& report) {
  if (!report.crash) return {};
  const Crash& crash = *report.crash;
  std::string out;
  const CpuState* first = crashing_cpu(crash);
  if (first != nullptr) {
    out += heading("BACKTRACE", text::cpu_title(*first));
    out += text::backtrace(first->backtrace, false);
  }
  if (report.arch != nullptr) {
    if (crash.fault_registers) {
      out += heading("REGISTERS", "at the exception");
      out += text::registers(*crash.fault_registers, *report.arch);
    } else if (first != nullptr && first->registers) {
      out += heading("REGISTERS", text::registers_source(*first));
      out += text::registers(*first->registers, *report.arch);
    }
  }
  if (crash.fault) out += fault_section(*crash.fault, report.code ? &*report.code : nullptr);
  if (!crash.crash_class.evidence.empty()) {
    out += heading("EVIDENCE", fmt::format("log lines behind class {}", crash.crash_class.name));
    for (const LogEvidence& evidence : crash.crash_class.evidence) {
      out += fmt::format("  #{} {}\n", evidence.seq, evidence.text);
    }
  }
  for (const CpuState& cpu : crash.cpus) {
    if (&cpu == first) continue;
    out += heading(first != nullptr ? "OTHER CPU" : "CPU", text::cpu_title(cpu));
    if (!cpu.answered) {
      out += "  did not answer: online, but it left no registers. Look here first for a stuck CPU.\n";
    } else {
      out += text::backtrace(cpu.backtrace, false);
      bool bare = cpu.backtrace.frames.empty() && cpu.registers && report.arch != nullptr;
      if (bare) out += text::registers(*cpu.registers, *report.arch);
    }
  }
  return out;
}

std::string log_section(const Report& report) {
  if (!report.log) return {};
  const LogFacts& log = *report.log;
  std::string out = heading("LOG", fmt::format("{} of {} records", log.tail.size(), log.total_records));
  for (size_t i = 0; i < log.tail.size(); ++i) {
    out += format_record(log.tail[i]) + '\n';
    if (log.gap_after == i) out += "  [...]\n";
  }
  return out;
}

std::string task_row(const Task& task) {
  auto number = [](const auto& value) { return value ? fmt::format("{}", *value) : std::string("?"); };
  std::string name = task.comm.empty() ? "?" : task.comm;
  return fmt::format("  {} {:>7} {:>7} {:>7} {:>4}{} {}\n", task.state, number(task.pid), number(task.tgid),
                     number(task.ppid), number(task.cpu), task.on_cpu.value_or(false) ? '*' : ' ',
                     task.kernel_thread ? "[" + name + "]" : name);
}

std::string tasks_section(const Report& report) {
  if (!report.tasks) return {};
  const TaskList& list = *report.tasks;
  std::string out = heading("TASKS", fmt::format("{} in {} processes{}", list.tasks.size(), list.processes,
                                                 list.complete ? "" : ", incomplete"));
  if (list.tasks.empty()) return out + "  unavailable, see LIMITS\n";
  constexpr std::string_view order = text::task_state_order;
  std::map<size_t, size_t> counts;
  std::vector<const Task*> sorted;
  for (const Task& task : list.tasks) {
    ++counts[order.find(task.state)];
    sorted.push_back(&task);
  }
  std::string_view separator = "  ";
  for (auto [place, count] : counts) {
    out += fmt::format("{}{} {} ({})", separator, count, task_state_name(order[place]), order[place]);
    separator = ", ";
  }
  // Within a state, user tasks before kernel threads.
  std::stable_sort(sorted.begin(), sorted.end(), [&](const Task* a, const Task* b) {
    return std::pair(order.find(a->state), a->kernel_thread) <
           std::pair(order.find(b->state), b->kernel_thread);
  });
  out += fmt::format("\n\n  S {:>7} {:>7} {:>7} {:>4}  COMMAND   (* = on a CPU, [] = kernel thread)\n", "PID",
                     "TGID", "PPID", "CPU");
  for (size_t i = 0; i < std::min(sorted.size(), max_task_rows); ++i) out += task_row(*sorted[i]);
  if (sorted.size() > max_task_rows) {
    out += fmt::format("  ... {} more: --format json lists all\n", sorted.size() - max_task_rows);
  }
  return out;
}

std::string modules_section(const Report& report) {
  if (!report.modules) return {};
  const ModulesFacts& facts = *report.modules;
  std::string out = heading("MODULES", facts.source.empty() ? "unavailable, see LIMITS"
                                       : facts.source == "log"
                                           ? fmt::format("{}, names from the log", facts.list.modules.size())
                                           : fmt::format("{}", facts.list.modules.size()));
  std::string line;
  for (const Module& module : facts.list.modules) {
    std::string cell = module.name;
    if (!module.taint_letters.empty()) cell += fmt::format(" ({})", module.taint_letters);
    if (module.size_bytes != 0) cell += fmt::format(" {}", module.size_bytes);
    if (!module.state.empty() && module.state != "live") cell += " " + module.state;
    cell = fmt::format("  {:<31}", cell);
    if (!line.empty() && line.size() + cell.size() > text::width) {
      out += line.substr(0, line.find_last_not_of(' ') + 1) + '\n';
      line.clear();
    }
    line += cell;
  }
  if (!line.empty()) out += line.substr(0, line.find_last_not_of(' ') + 1) + '\n';
  return out;
}

std::string memory_section(const Report& report) {
  if (!report.memory) return {};
  return heading("MEMORY", "the kernel's counters, less what per-CPU counters had not folded yet") +
         text::memory(*report.memory);
}

std::string identity_section(const Report& report) {
  const SystemInfo& id = report.identity;
  std::string out = heading("IDENTITY");
  auto row = [&](std::string_view label, std::string_view value) {
    out += text::wrap(fmt::format("  {:<16}", label), text::or_unknown(value), std::string(18, ' '));
  };
  row("version", id.version);
  row("build-id", id.build_id);
  if (report.signatures) {
    row("family", report.signatures->family.sha256);
    row("exact", report.signatures->exact.sha256);
  }
  row("KASLR offset", id.kaslr_offset ? fmt::format("{:#x}", *id.kaslr_offset) : "");
  if (id.va) row("addresses", text::addresses(id));
  row("command line", id.command_line);
  row("dump", text::dump_file(report.input));
  if (std::string redacted = text::redaction(report.redaction); !redacted.empty()) row("redacted", redacted);
  return out;
}

}  // namespace

std::string to_text(const Report& report) {
  std::string out = fmt::format("kdump-analyze {}: {}\n\n", KDK_VERSION, fmt::join(report.input.files, " "));
  out += headline(report);
  out += text::findings(report.findings);
  out += crash_section(report);
  if (report.blocked) out += text::blocked(*report.blocked);
  if (report.locks) out += text::locks(*report.locks);
  if (report.activity) out += text::activity(*report.activity);
  out += log_section(report);
  out += tasks_section(report);
  out += modules_section(report);
  out += memory_section(report);
  out += identity_section(report);
  out += text::limits(report.limits);
  uint64_t total = 0;
  for (const Phase& phase : report.timing) total += phase.microseconds;
  out += fmt::format("\nTook {} ms:", total / 1000);
  for (const Phase& phase : report.timing)
    out += fmt::format(" {} {}", phase.name, phase.microseconds / 1000);
  return out + '\n';
}

}  // namespace kdk
