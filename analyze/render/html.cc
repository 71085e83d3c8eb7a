// The report as one HTML page for a ticket: what the text report says, with pictures of memory and log. Every
// piece of text passes html::escape() on its way into the page.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

#include "analyze/render/activity.h"
#include "analyze/render/html_charts.h"
#include "analyze/render/html_page.h"
#include "analyze/render/html_parts.h"
#include "analyze/render/render.h"
#include "analyze/render/text_parts.h"
#include "analyze/render/waits.h"

namespace kdk {
namespace {

using html::backtrace;
using html::escape;
using html::folded;
using html::heading;

// A list of facts; those without a value are left out.
class Facts {
 public:
  void add(std::string_view label, std::string_view value) {
    if (!value.empty()) rows_ += fmt::format("<dt>{}</dt><dd>{}</dd>\n", escape(label), escape(value));
  }
  void add(std::string_view label, std::string_view value, std::string_view source) {
    add(label, source.empty() ? std::string(value) : fmt::format("{} (from the {})", value, source));
  }
  std::string str() const { return rows_.empty() ? "" : "<dl>\n" + rows_ + "</dl>\n"; }

 private:
  std::string rows_;
};

std::string answer(const Report& report) {
  if (!report.crash)
    return "<div class=\"answer\"><p>The crash could not be examined, see the limits.</p></div>\n";
  const Crash& crash = *report.crash;
  std::string out =
      fmt::format("<div class=\"answer\">\n<h1>{}</h1>\n",
                  escape(crash.panic_message.empty() ? "no panic message" : crash.panic_message));
  out += fmt::format("<p><span class=\"badge\">{}</span> {}</p>\n", escape(crash.crash_class.name),
                     escape(crash.crash_class.title));
  if (crash.fault) out += fmt::format("<p>{}</p>\n", escape(text::fault_line(*crash.fault)));
  if (const Culprit who = culprit(report); who.frame != nullptr) {
    std::string where = text::position(who.frame->file, who.frame->line);
    out += fmt::format("<p>in <code>{}</code>{}</p>\n", escape(text::frame_name(*who.frame)),
                       where.empty() ? "" : fmt::format(", <code>{}</code>", escape(where)));
    if (who.noticed_by != nullptr) out += fmt::format("<p>{}</p>\n", escape(text::noticed_by(who)));
    if (who.task != nullptr) out += fmt::format("<p>task {}</p>\n", escape(text::task_name(*who.task)));
  }
  return out + fmt::format("<p>on {}</p>\n</div>\n", escape(text::who(crash)));
}

std::string machine(const Report& report) {
  const SystemInfo& id = report.identity;
  Facts facts;
  facts.add("kernel", fmt::format("{} {}, {}", text::or_unknown(id.release), id.machine, text::taint(id)));
  facts.add("host", text::host(report));
  facts.add("time", text::crash_time(id));
  for (const std::string& line : report.input.erased) facts.add("erased", line);
  facts.add("basis", text::basis(report.evidence));
  auto damaged =
      std::count_if(report.limits.begin(), report.limits.end(), [](const Limit& l) { return l.damage; });
  if (damaged != 0) facts.add("damage", fmt::format("{} of the limits below: parts are missing", damaged));
  return facts.str();
}

std::string fault(const Fault& fault, const FaultingCode* code) {
  Facts facts;
  facts.add("exception", fault.title, fault.exception_source);
  if (fault.error_code) facts.add("error code", text::error_code(fault), fault.error_code_source);
  if (fault.address) {
    std::string note = fault.address_note.empty() ? "" : "; " + fault.address_note;
    facts.add("address", fmt::format("{:#018x}{}", *fault.address, note), fault.address_source);
  }
  if (fault.tables) facts.add("page tables", text::page_tables(*fault.tables), "dump");
  if (code != nullptr) facts.add("instruction", text::faulting_code(*code), "dump");
  return heading("Fault") + facts.str();
}

// CPUs with the same stack share one entry.
std::string other_cpus(const Crash& crash, const CpuState* first) {
  std::map<std::vector<uint64_t>, std::vector<const CpuState*>> stacks;
  std::vector<const std::vector<uint64_t>*> order;
  std::string silent;
  for (const CpuState& cpu : crash.cpus) {
    if (&cpu == first) continue;
    if (!cpu.answered) {
      silent += fmt::format(
          "<p class=\"damage\">{} did not answer: online, but it left no registers. Look here first "
          "for a stuck CPU.</p>\n",
          escape(text::cpu_title(cpu)));
      continue;
    }
    std::vector<uint64_t> key;
    for (const Frame& frame : cpu.backtrace.frames) key.push_back(frame.pc);
    auto [place, fresh] = stacks.try_emplace(std::move(key));
    if (fresh) order.push_back(&place->first);
    place->second.push_back(&cpu);
  }
  std::string out = silent;
  for (const auto* key : order) {
    const std::vector<const CpuState*>& cpus = stacks[*key];
    std::string title;
    for (const CpuState* cpu : cpus) title += (title.empty() ? "" : "; ") + text::cpu_title(*cpu);
    const Backtrace& trace = cpus.front()->backtrace;
    const Frame* top = culprit(trace).frame;
    if (top == nullptr && !trace.frames.empty()) top = &trace.frames.front();
    out += folded(title, top != nullptr ? text::frame_name(*top) : std::string("no frames"),
                  backtrace(trace, nullptr));
  }
  return out.empty() ? "" : heading(first != nullptr ? "Other CPUs" : "CPUs") + out;
}

std::string crash_sections(const Report& report) {
  if (!report.crash) return {};
  const Crash& crash = *report.crash;
  const CpuState* first = crashing_cpu(crash);
  std::string out;
  if (first != nullptr) {
    out += heading("Backtrace", text::cpu_title(*first)) + backtrace(first->backtrace, culprit(crash).frame);
  }
  if (report.arch != nullptr) {
    const std::optional<Registers>& saved = first != nullptr ? first->registers : std::nullopt;
    auto block = [&](std::string_view remark, const Registers& registers) {
      out += folded("Registers", remark,
                    "<pre>" + escape(text::registers(registers, *report.arch)) + "</pre>\n");
    };
    if (crash.fault_registers) {
      block("at the exception", *crash.fault_registers);
    } else if (saved) {
      block(text::registers_source(*first), *saved);
    }
  }
  if (crash.fault) out += fault(*crash.fault, report.code ? &*report.code : nullptr);
  if (!crash.crash_class.evidence.empty()) {
    out += heading("Evidence", "log lines behind class " + crash.crash_class.name) + "<pre>";
    for (const LogEvidence& line : crash.crash_class.evidence) {
      out += fmt::format("<b>#{} {}</b>", line.seq, escape(line.text));
    }
    out += "</pre>\n";
  }
  return out + other_cpus(crash, first);
}

std::string log_section(const Report& report) {
  if (!report.log) return {};
  const LogFacts& log = *report.log;
  std::string out;
  std::string timeline = html::log_timeline(log, report.tasks ? &*report.tasks : nullptr);
  if (!timeline.empty()) out += heading("Last seconds", "who logged when") + timeline;
  out += heading("Log", fmt::format("{} of {} records", log.tail.size(), log.total_records));
  out +=
      "<label id=\"search\">Search <input type=\"search\" autocomplete=\"off\"> <output></output></label>\n";
  out += "<pre id=\"log\">";
  for (size_t i = 0; i < log.tail.size(); ++i) {
    out += fmt::format("<b class=\"l{}\">{}</b>", log.tail[i].level & 7, escape(format_record(log.tail[i])));
    if (log.gap_after == i) out += "<b class=\"gap\">[...]</b>";
  }
  return out + "</pre>\n";
}

std::string tasks_section(const Report& report) {
  if (!report.tasks || report.tasks->tasks.empty()) return {};
  const TaskList& list = *report.tasks;
  constexpr std::string_view order = text::task_state_order;
  std::map<size_t, std::vector<const Task*>> by_state;
  for (const Task& task : list.tasks) by_state[order.find(task.state)].push_back(&task);
  auto number = [](const auto& value) { return value ? fmt::format("{}", *value) : std::string("?"); };
  std::string out = heading("Tasks", fmt::format("{} in {} processes{}", list.tasks.size(), list.processes,
                                                 list.complete ? "" : ", incomplete"));
  for (const auto& [place, tasks] : by_state) {
    char state = place < order.size() ? order[place] : '?';
    std::string rows;
    for (const Task* task : tasks) {
      std::string name = text::or_unknown(task->comm);
      rows += fmt::format(
          "<tr><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}{}</td>"
          "<td>{}</td></tr>\n",
          number(task->pid), number(task->tgid), number(task->ppid), number(task->cpu),
          task->on_cpu.value_or(false) ? "*" : "", escape(task->kernel_thread ? "[" + name + "]" : name));
    }
    out += folded(fmt::format("{} {} ({})", tasks.size(), task_state_name(state), state), "",
                  "<div class=\"wide\"><table><thead><tr><th class=\"n\">PID</th><th class=\"n\">TGID</th>"
                  "<th class=\"n\">PPID</th><th class=\"n\">CPU</th><th>command</th></tr></thead>\n<tbody>" +
                      rows + "</tbody></table></div>\n");
  }
  return out + "<p class=\"dim\">* was on a CPU; [name] is a kernel thread.</p>\n";
}

std::string memory_section(const Report& report) {
  if (!report.memory) return {};
  const MemorySummary& m = *report.memory;
  std::string out = html::memory_bar(m);
  auto number = [](std::optional<uint64_t> value) {
    return value ? fmt::format("{}", *value) : std::string("?");
  };
  std::string zones;
  for (const Zone& zone : m.zones) {
    zones += fmt::format("<tr><td>{} {}</td>", zone.node, escape(zone.name));
    for (auto value : {zone.present_pages, zone.managed_pages, zone.free_pages, zone.min_pages,
                       zone.low_pages, zone.high_pages}) {
      zones += fmt::format("<td class=\"n\">{}</td>", number(value));
    }
    zones += "</tr>\n";
  }
  if (!zones.empty()) {
    out += folded(
        "Zones", "in pages",
        "<div class=\"wide\"><table><thead><tr><th>zone</th><th class=\"n\">present</th><th "
        "class=\"n\">managed"
        "</th><th class=\"n\">free</th><th class=\"n\">min</th><th class=\"n\">low</th><th class=\"n\">high"
        "</th></tr></thead>\n<tbody>" +
            zones + "</tbody></table></div>\n");
  }
  for (const HugePagePool& pool : m.huge_pages) {
    out += fmt::format("<p>huge pages of {}: {}, {} free</p>\n", text::bytes(pool.page_bytes), pool.total,
                       pool.free);
  }
  if (out.empty()) return {};
  return heading("Memory", "the kernel's counters, less what per-CPU counters had not folded yet") + out;
}

std::string modules_section(const Report& report) {
  if (!report.modules || report.modules->list.modules.empty()) return {};
  const ModulesFacts& facts = *report.modules;
  std::string rows;
  size_t count = facts.list.modules.size(), tainting = 0;
  for (const Module& module : facts.list.modules) {
    if (!module.taint_letters.empty()) ++tainting;
    rows += fmt::format("<tr><td>{}</td><td>{}</td><td class=\"n\">{}</td><td>{}</td></tr>\n",
                        escape(module.name), escape(module.taint_letters),
                        module.size_bytes != 0 ? fmt::format("{}", module.size_bytes) : std::string(),
                        escape(module.state));
  }
  std::string remark = fmt::format(
      "{}{}", facts.source == "log" ? "names from the log, " : "",
      tainting == 0 ? std::string("none taints the kernel") : fmt::format("{} taint the kernel", tainting));
  return heading("Modules") + folded(fmt::format("{} module{}", count, count == 1 ? "" : "s"), remark,
                                     "<div class=\"wide\"><table><thead><tr><th>name</th><th>taint</th><th "
                                     "class=\"n\">bytes</th><th>state</th>"
                                     "</tr></thead>\n<tbody>" +
                                         rows + "</tbody></table></div>\n");
}

std::string identity_section(const Report& report) {
  const SystemInfo& id = report.identity;
  Facts facts;
  facts.add("version", id.version);
  facts.add("build-id", id.build_id);
  if (report.signatures) {
    facts.add("family", report.signatures->family.sha256);
    facts.add("exact", report.signatures->exact.sha256);
  }
  if (id.kaslr_offset) facts.add("KASLR offset", fmt::format("{:#x}", *id.kaslr_offset));
  if (id.va) facts.add("addresses", text::addresses(id));
  facts.add("command line", id.command_line);
  facts.add("dump", text::dump_file(report.input));
  facts.add("redacted", text::redaction(report.redaction));
  std::string out = heading("Identity") + facts.str();
  if (report.signatures) {
    const Signatures& found = *report.signatures;
    out += folded("Signatures", "the texts whose SHA-256 name this kind of crash",
                  "<pre>" + escape(found.family.text + "\n" + found.exact.text) + "</pre>\n");
  }
  return out;
}

std::string limits_section(const Report& report) {
  if (report.limits.empty()) return {};
  std::string out = heading("Limits", "what could not be known, and why") + "<ul>\n";
  for (const Limit& limit : report.limits) {
    std::string help = limit.need.empty() ? "" : ". Would help: " + limit.need;
    out += fmt::format("<li{}><code>{}</code> [{}] {}</li>\n", limit.damage ? " class=\"damage\"" : "",
                       escape(limit.path), escape(limit.code), escape(limit.detail + help));
  }
  return out + "</ul>\n";
}

}  // namespace

std::string to_html(const Report& report) {
  const SystemInfo& id = report.identity;
  std::string title =
      report.crash && !report.crash->panic_message.empty() ? report.crash->panic_message : "Kernel crash";
  if (!id.hostname.empty()) title += ", " + id.hostname;
  std::string waits;
  if (report.blocked) waits += html::blocked(*report.blocked);
  if (report.locks) waits += html::locks(*report.locks);
  if (report.activity) waits += html::activity(*report.activity);
  std::string body = answer(report) + html::findings(report.findings) + machine(report) +
                     crash_sections(report) + waits + log_section(report) + tasks_section(report) +
                     memory_section(report) + modules_section(report) + identity_section(report) +
                     limits_section(report);
  uint64_t total = 0;
  for (const Phase& phase : report.timing) total += phase.microseconds;
  body += fmt::format("<footer>kdump-analyze {}, {}; {} ms</footer>\n", KDK_VERSION,
                      escape(fmt::format("{}", fmt::join(report.input.files, " "))), total / 1000);
  return html::page(title, body);
}

}  // namespace kdk
