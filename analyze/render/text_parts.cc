#include "analyze/render/text_parts.h"

#include <fmt/format.h>

#include <ctime>

namespace kdk::text {

std::string heading(std::string_view title, std::string_view remark) {
  std::string line(title);
  if (!remark.empty()) line += fmt::format("  ({})", remark);
  return fmt::format("\n{}\n{}\n", line, std::string(line.size(), '-'));
}

std::string bytes(uint64_t n) {
  constexpr const char* units[] = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  double value = static_cast<double>(n);
  size_t unit = 0;
  while (value >= 1024 && unit + 1 < std::size(units)) {
    value /= 1024;
    ++unit;
  }
  if (unit == 0) return fmt::format("{} bytes", n);
  return value < 100 ? fmt::format("{:.1f} {}", value, units[unit])
                     : fmt::format("{:.0f} {}", value, units[unit]);
}

std::string utc(uint64_t epoch_seconds) {
  std::tm parts{};
  std::time_t time = static_cast<std::time_t>(epoch_seconds);
  char buffer[64];
  if (epoch_seconds > 253402300799 || gmtime_r(&time, &parts) == nullptr ||
      std::strftime(buffer, sizeof buffer, "%Y-%m-%d %H:%M:%S UTC", &parts) == 0) {
    return fmt::format("{} s after the epoch", epoch_seconds);
  }
  return buffer;
}

std::string duration(uint64_t nanoseconds) {
  uint64_t seconds = nanoseconds / 1'000'000'000;
  if (seconds < 120) return fmt::format("{}.{} s", seconds, nanoseconds / 100'000'000 % 10);
  uint64_t days = seconds / 86400;
  std::string clock = fmt::format("{:02}:{:02}:{:02}", seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
  return days == 0 ? clock + " h" : fmt::format("{} d {}", days, clock);
}

std::string frame_name(const Frame& frame) {
  std::string name;
  if (!frame.symbol.empty()) {
    name = fmt::format("{}+{:#x}", frame.symbol, frame.symbol_offset);
    if (frame.symbol_size != 0) name += fmt::format("/{:#x}", frame.symbol_size);
  } else {
    name = fmt::format("{:#018x}", frame.pc);
    if (frame.image_offset) {
      name += fmt::format(" ({}+{:#x})", frame.module.empty() ? "_stext" : frame.module, *frame.image_offset);
    }
  }
  if (!frame.module.empty()) name += fmt::format(" [{}]", frame.module);
  return name;
}

std::string frame_remark(const Frame& frame) {
  if (frame.kind == FrameKind::lr_candidate) return " (perhaps: link register)";
  std::string out = frame.kind == FrameKind::bad_call ? " (called a bad address)" : "";
  bool proven = frame.trust != Trust::inferred && frame.trust != Trust::scan;
  return proven ? out : out + fmt::format(" ({})", to_string(frame.trust));
}

std::string position(std::string_view file, unsigned line) {
  if (file.empty()) return {};
  return line == 0 ? std::string(file) : fmt::format("{}:{}", file, line);
}

std::string frame_and_position(const Frame& frame) {
  const std::string where = position(frame.file, frame.line);
  return frame_name(frame) + (where.empty() ? "" : ", " + where);
}

std::string redaction(const Redaction& done) {
  if (done.level == RedactionLevel::none) return {};
  std::string counts;
  for (const auto& [kind, count] : done.counts) {
    counts += fmt::format("{}{} {}", counts.empty() ? ": " : ", ", count, kind);
  }
  return std::string(to_string(done.level)) + (counts.empty() ? ": there was nothing to take out" : counts);
}

std::string noticed_by(const Culprit& who) {
  const Frame& check = *who.noticed_by;
  const bool called = check.symbol.empty() || who.frame->kind == FrameKind::bad_call;
  return called ? fmt::format("called {}, which cannot be executed", frame_name(check))
                : "noticed by " + frame_and_position(check);
}

std::string variable(const Variable& item) {
  const std::string_view space = item.type.ends_with('*') ? "" : " ";
  std::string value = item.value;
  if (item.state == Variable::State::optimized_out) value = "<optimized out>";
  if (item.state == Variable::State::unavailable) value = "<unavailable>";
  if (item.state == Variable::State::unsupported) value = "<not understood>";
  return fmt::format("{:8}{}{}{} = {}\n", "", item.type, space, item.name, value);
}

std::string backtrace(const Backtrace& trace, bool addresses,
                      const std::vector<FunctionVariables>* variables) {
  std::string out;
  auto print_variables = [&](size_t frame, size_t inlined) {
    if (variables == nullptr) return;
    for (const FunctionVariables& function : *variables) {
      if (function.frame != frame || function.inlined != inlined) continue;
      for (const Variable& item : function.items) out += variable(item);
    }
  };
  auto row = [&](std::string_view number, std::string_view address, std::string_view name,
                 std::string_view where) {
    std::string line = fmt::format("  {:<4}", number);
    if (addresses) line += fmt::format("{:<17}", address);
    line += where.empty() ? std::string(name) : fmt::format("{:<46}  {}", name, where);
    out += line + '\n';
  };
  for (size_t i = 0; i < trace.frames.size(); ++i) {
    const Frame& frame = trace.frames[i];
    if (frame.kind == FrameKind::exception && i > 0) out += "      ---- exception ----\n";
    std::string number = fmt::format("#{}", i);
    std::string address = fmt::format("{:016x}", frame.pc);
    for (size_t j = 0; j < frame.inlines.size(); ++j) {
      const InlineFrame& inlined = frame.inlines[j];
      row(number, address, inlined.function + " (inlined)", position(inlined.file, inlined.line));
      print_variables(i, j);
      number.clear();
      address.clear();
    }
    std::string name = frame_name(frame) + frame_remark(frame);
    row(number, address, name, position(frame.file, frame.line));
    print_variables(i, frame.inlines.size());
  }
  if (trace.frames.empty()) out += "  no frames\n";
  if (!trace.complete) out += fmt::format("  (ends here: {})\n", trace.end.empty() ? "unknown" : trace.end);
  if (trace.complete && trace.end == "user mode") out += "  (user mode)\n";
  return out;
}

std::string registers(const Registers& registers, const Arch& arch) {
  std::string out;
  size_t column = 0;
  auto names = arch.register_names();
  for (size_t i = 0; i < names.size(); ++i) {
    auto value = registers.get(i);
    if (!value) continue;
    out += fmt::format("{}{:>6} {:016x}", column == 0 ? "" : " ", names[i], *value);
    column = (column + 1) % 4;
    if (column == 0) out += '\n';
  }
  if (column != 0) out += '\n';
  return out;
}

std::string cpu_title(const CpuState& cpu) {
  std::string title = cpu.cpu ? fmt::format("CPU {}", *cpu.cpu) : "CPU ?";
  if (cpu.crashed) title += " (crashed)";
  if (cpu.cpu && cpu.cpu_source.find("guess") != std::string::npos) title += " (the number is a guess)";
  if (!cpu.comm.empty()) title += fmt::format(", task {}", cpu.comm);
  if (cpu.pid) title += fmt::format(", pid {}", *cpu.pid);
  return title;
}

std::string wrap(std::string_view first, std::string_view text, std::string_view indent) {
  std::string out(first);
  size_t column = first.size();
  bool fresh = true;
  while (!text.empty()) {
    size_t begin = text.find_first_not_of(" \n");
    if (begin == std::string_view::npos) break;
    text.remove_prefix(begin);
    std::string_view word = text.substr(0, text.find_first_of(" \n"));
    text.remove_prefix(word.size());
    if (!fresh && column + 1 + word.size() > width) {
      out += '\n';
      out += indent;
      column = indent.size();
      fresh = true;
    }
    if (!fresh) {
      out += ' ';
      ++column;
    }
    out += word;
    column += word.size();
    fresh = false;
  }
  return out + '\n';
}

std::string or_unknown(std::string_view value) {
  return std::string(value.empty() ? "unknown" : value);
}

std::string basis(const Evidence& evidence) {
  if (evidence.tier == "T2") {
    return fmt::format("T2: names, types and source lines ({}, same {})", evidence.vmlinux,
                       evidence.vmlinux_match);
  }
  if (evidence.tier == "T1") {
    return fmt::format("T1: names{} out of {}, no source lines", evidence.types ? " and types" : "",
                       evidence.kallsyms.found ? "the dump" : "vmlinux");
  }
  return "T0: notes and VMCOREINFO only, no names";
}

std::string taint(const SystemInfo& id) {
  if (id.taint_source.empty()) return "taint unknown";
  if (id.taint_letters.empty()) return "not tainted";
  std::string out = fmt::format("tainted {}", id.taint_letters);
  std::string_view separator = " (";
  for (const TaintFlag& flag : id.taint_flags) {
    out += fmt::format("{}{}: {}", separator, flag.letter, flag.meaning);
    separator = "; ";
  }
  return id.taint_flags.empty() ? out : out + ")";
}

std::string fault_line(const Fault& fault) {
  std::string said = describe(fault);
  return fault.title + (said.empty() ? "" : ": " + said);
}

std::string who(const Crash& crash) {
  std::string out = crash.cpu ? fmt::format("CPU {}", *crash.cpu) : "CPU unknown";
  if (!crash.comm.empty()) out += fmt::format(", task {}", crash.comm);
  if (crash.pid) out += fmt::format(", pid {}", *crash.pid);
  return out;
}

std::string task_name(const Task& task) {
  return fmt::format("{}, pid {}", or_unknown(task.comm), task.pid ? fmt::format("{}", *task.pid) : "?");
}

std::string host(const Report& report) {
  const SystemInfo& id = report.identity;
  std::string out = or_unknown(id.hostname);
  if (id.cpus_possible)
    out += fmt::format(", {} CPU{}", *id.cpus_possible, *id.cpus_possible == 1 ? "" : "s");
  return out + fmt::format(", {} RAM", bytes(report.input.ram_bytes));
}

std::string crash_time(const SystemInfo& system) {
  std::string out = system.crash_time ? utc(*system.crash_time) : "crash time unknown";
  if (system.uptime_ns) out += fmt::format(", {} after boot", duration(*system.uptime_ns));
  return out;
}

std::string addresses(const SystemInfo& system) {
  return fmt::format("{}: {} pages, {}-bit virtual, {}-bit physical", system.architecture,
                     bytes(uint64_t{1} << system.va->page_shift), system.va->va_bits, system.va->pa_bits);
}

std::string dump_file(const InputFacts& input) {
  const DumpInfo& dump = input.dump;
  return fmt::format("{}{}, {}{}", dump.format == DumpFormat::elf ? "ELF" : "kdump-compressed",
                     dump.flattened ? " (flattened)" : "", bytes(dump.file_bytes),
                     dump.incomplete ? ", INCOMPLETE" : "");
}

std::string registers_source(const CpuState& cpu) {
  return cpu.cpu_source == "hypervisor note" ? "as the hypervisor saved them"
                                             : "as the crash path saved them";
}

std::string error_code(const Fault& fault) {
  std::string bits;
  for (const FaultBit& bit : fault.bits) {
    bits += fmt::format("{}{}: {}", bits.empty() ? "; " : ", ", bit.name, bit.meaning);
  }
  if (bits.empty()) bits = ", no bit set";
  return fmt::format("{:#06x}{}", fault.error_code.value_or(0), bits);
}

std::string faulting_code(const FaultingCode& code) {
  std::string out = code.text;
  if (!code.comment.empty()) out += fmt::format(" <{}>", code.comment);
  for (size_t i = 0; i < code.operands.size(); ++i)
    out += fmt::format("{} {} {:#x}", i == 0 ? ";" : ",", code.operands[i].name, code.operands[i].value);
  if (code.memory) out += fmt::format(": address {:#x}", *code.memory);
  return out;
}

std::string page_tables(const Fault::Tables& tables) {
  std::string where = tables.physical ? fmt::format("mapped to {:#x}", *tables.physical)
                      : tables.status == "table_unreadable"
                          ? std::string("cannot be told: a table is not in the dump")
                          : std::string("not mapped");
  return where + (tables.level.empty() ? "" : " at " + tables.level);
}

std::string limits(const std::vector<Limit>& limits) {
  if (limits.empty()) return {};
  std::string out = heading("LIMITS", "what could not be known, and why");
  for (const Limit& limit : limits) {
    std::string text = limit.detail;
    if (!limit.need.empty()) text += fmt::format(". Would help: {}", limit.need);
    out +=
        wrap(fmt::format("  {} {} [{}] ", limit.damage ? "!" : "-", limit.path, limit.code), text, "      ");
  }
  return out;
}

}  // namespace kdk::text
