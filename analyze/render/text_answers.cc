// Text of the single questions: log, bt, sym, info.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "analyze/render/render.h"
#include "analyze/render/text_parts.h"

namespace kdk {

std::string to_text(const LogReport& report) {
  // Only the log goes to stdout, so that it can be piped on; limits are printed on stderr by the command.
  std::string out;
  for (const LogRecord& record : report.log.records) out += format_record(record) + '\n';
  return out;
}

std::string to_text(const BacktraceReport& report) {
  std::string out;
  if (!report.crash) return out;
  const CpuState* crashed = crashing_cpu(*report.crash);
  for (size_t i = 0; i < report.crash->cpus.size(); ++i) {
    const CpuState& cpu = report.crash->cpus[i];
    if (!report.all_cpus && &cpu != crashed && crashed != nullptr) continue;
    if (!out.empty()) out += '\n';
    out += text::cpu_title(cpu) + '\n';
    if (!cpu.answered) {
      out += "  did not answer: online, but it left no registers\n";
      continue;
    }
    out += text::backtrace(cpu.backtrace, true, i < report.variables.size() ? &report.variables[i] : nullptr);
  }
  return out;
}

std::string to_text(const SymbolReport& report) {
  std::string out;
  for (const SymbolAnswer& answer : report.answers) {
    if (answer.matches.empty()) out += fmt::format("{}: not found\n", answer.query);
    for (const SymbolAnswer::Match& match : answer.matches) {
      std::string name = match.symbol;
      if (match.offset != 0) name += fmt::format("+{:#x}", match.offset);
      if (match.size != 0) name += fmt::format("/{:#x}", match.size);
      if (!match.module.empty()) name += fmt::format(" [{}]", match.module);
      std::string line = fmt::format("{:016x} {} {}", match.address, match.type, name);
      for (const InlineFrame& inlined : match.inlines) {
        out += fmt::format("{:016x} i {} (inlined)  {}\n", match.address, inlined.function,
                           text::position(inlined.file, inlined.line));
      }
      std::string where = text::position(match.file, match.line);
      if (!where.empty()) line += "  " + where;
      out += line + '\n';
    }
  }
  return out;
}

std::string to_text(const InfoReport& report) {
  const InputFacts& input = report.input;
  const DumpInfo& dump = input.dump;
  std::string out;
  auto row = [&](std::string_view label, std::string_view value) {
    out += text::wrap(fmt::format("{:<14}", label), value.empty() ? "unknown" : value, std::string(14, ' '));
  };
  row("file", fmt::format("{}", fmt::join(input.files, " ")));
  std::string format = dump.format == DumpFormat::elf ? "ELF vmcore" : "kdump-compressed";
  if (dump.format != DumpFormat::elf) format += fmt::format(" version {}", dump.header_version);
  if (dump.flattened) format += ", flattened";
  if (dump.split_parts > 1) format += fmt::format(", {} split parts", dump.split_parts);
  row("format", format);
  row("size", text::bytes(dump.file_bytes));
  row("complete", dump.incomplete ? fmt::format("no: {}", dump.incomplete_reason) : "yes");
  row("architecture", input.architecture);
  row("page size", text::bytes(dump.page_size) + (dump.page_size_assumed ? " (assumed)" : ""));
  row("RAM", text::bytes(input.ram_bytes));
  if (input.present_bytes) row("in the dump", text::bytes(*input.present_bytes));
  if (dump.dump_level) row("dump level", fmt::format("{}", *dump.dump_level));
  row("CPU notes", fmt::format("{}", input.cpu_notes));
  row("VMCOREINFO", input.vmcoreinfo ? "yes" : "no");
  for (const std::string& line : input.erased) row("erased", line);
  row("release", report.identity.release);
  row("build-id", report.identity.build_id);
  if (!report.identity.hostname.empty()) row("hostname", report.identity.hostname);
  row("crash time", report.identity.crash_time ? text::utc(*report.identity.crash_time) : "");
  out += text::limits(report.limits);
  return out;
}

}  // namespace kdk
