#include "core/diagnose/log_trace.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "core/base/log.h"

namespace kdk {
namespace {

constexpr std::string_view panic_prefix = "Kernel panic - not syncing: ";
// A trace is at most as long as a stack has records; the kernel itself has no limit here, a hostile log
// neither.
constexpr size_t max_trace_entries = 512;
// Lines of other CPUs may come between the entries of a trace.
constexpr size_t max_foreign_lines = 6;

std::string_view trim_left(std::string_view s) {
  size_t begin = s.find_first_not_of(" \t");
  return begin == std::string_view::npos ? std::string_view() : s.substr(begin);
}

std::string_view trim(std::string_view s) {
  s = trim_left(s);
  size_t end = s.find_last_not_of(" \t\r");
  return end == std::string_view::npos ? std::string_view() : s.substr(0, end + 1);
}

// The number at the start of `s`, which is cut behind it.
template <typename T>
std::optional<T> take_number(std::string_view& s, int base) {
  T value{};
  auto [end, error] = std::from_chars(s.data(), s.data() + s.size(), value, base);
  if (error != std::errc() || end == s.data()) return std::nullopt;
  s.remove_prefix(static_cast<size_t>(end - s.data()));
  return value;
}

// "KEY: number" somewhere in the line.
template <typename T>
std::optional<T> number_after(std::string_view line, std::string_view key) {
  size_t at = line.find(key);
  if (at == std::string_view::npos) return std::nullopt;
  std::string_view rest = trim_left(line.substr(at + key.size()));
  return take_number<T>(rest, 10);
}

bool take_prefix(std::string_view& s, std::string_view prefix) {
  if (!s.starts_with(prefix)) return false;
  s.remove_prefix(prefix.size());
  return true;
}

bool is_trace_header(std::string_view line) {
  line = trim(line);
  return line == "Call trace:" || line == "Call Trace:";
}

// What the kernel prints after a trace; entries never come behind it.
bool ends_trace(std::string_view line) {
  static constexpr std::array<std::string_view, 7> ends = {
      "Code:", "---[ ", "Kernel panic", "SMP: stopping", "Mem-Info", "Starting crashdump", "Kernel Offset:"};
  line = trim_left(line);
  return std::any_of(ends.begin(), ends.end(), [&](std::string_view end) { return line.starts_with(end); });
}

// x86 marks the stack it is on.
bool is_stack_marker(std::string_view line) {
  line = trim(line);
  return line.size() > 2 && line.front() == '<' && line.back() == '>';
}

bool symbol_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' ||
         c == '$';
}

// "RIP: 0010:fn+0x16/0x20 [module]": where x86 was interrupted. nullopt for user mode ("RIP: 0033:0x7f...").
std::optional<LogTraceEntry> parse_rip_line(std::string_view line) {
  line = trim_left(line);
  if (!take_prefix(line, "RIP: ")) return std::nullopt;
  std::optional<unsigned> segment = take_number<unsigned>(line, 16);
  if (!segment || (*segment & 3) != 0 || !take_prefix(line, ":")) return std::nullopt;
  // Before v4.10: "RIP: 0010:[<ffffffff8142e7b6>]  [<ffffffff8142e7b6>] fn+0x16/0x20"
  size_t last = line.rfind("[<");
  if (last != std::string_view::npos) line.remove_prefix(last);
  std::string entry = line.starts_with('[') ? std::string(line) : " " + std::string(line);
  return parse_trace_entry(entry);
}

// Registers and code bytes, which x86 prints between the entries where an exception hit.
bool is_register_line(std::string_view line) {
  line = trim_left(line);
  for (std::string_view name : {"RIP: ", "Code: ", "RSP: ", "RAX: ", "RDX: ", "RBP: ", "R10: ", "R13: ",
                                "FS: ", "CS: ", "CR2: ", "DR0: ", "DR3: ", "PKRU: ", "ORIG_RAX: "}) {
    if (line.starts_with(name)) return true;
  }
  return false;
}

// Where the registers of the oops above a trace say it began; arm64 repeats it as the first entry, x86 does
// not.
std::optional<LogTraceEntry> interrupted_above(const KernelLog& log, const std::vector<LogLine>& lines,
                                               size_t header) {
  constexpr size_t max_distance = 24;  // registers, code, control registers
  uint32_t caller = log.records[lines[header].record].caller_id;
  for (size_t i = header; i-- > 0 && header - i <= max_distance;) {
    if (log.records[lines[i].record].caller_id != caller) continue;
    if (is_trace_header(lines[i].text) || parse_cpu_line(lines[i].text)) break;
    if (std::optional<LogTraceEntry> entry = parse_rip_line(lines[i].text)) return entry;
  }
  return std::nullopt;
}

struct Block {
  size_t header = 0;  // index of the "Call trace:" line
  std::vector<LogTraceEntry> entries;
};

Block read_block(const KernelLog& log, const std::vector<LogLine>& lines, size_t header) {
  Block block;
  block.header = header;
  if (std::optional<LogTraceEntry> start = interrupted_above(log, lines, header)) {
    block.entries.push_back(std::move(*start));
  }
  uint32_t caller = log.records[lines[header].record].caller_id;
  size_t foreign = 0;
  bool in_registers = false;  // of an exception inside the trace
  for (size_t i = header + 1; i < lines.size() && block.entries.size() < max_trace_entries; ++i) {
    std::string_view text = lines[i].text;
    // With CONFIG_PRINTK_CALLER the lines of other CPUs are known for what they are.
    if (log.records[lines[i].record].caller_id != caller) continue;
    if (std::optional<LogTraceEntry> interrupted = parse_rip_line(text)) {
      block.entries.push_back(std::move(*interrupted));
      in_registers = true;
      continue;
    }
    // User mode: nothing of the kernel comes behind it.
    if (trim_left(text).starts_with("RIP: ")) break;
    if (in_registers && is_register_line(text)) continue;
    if (is_trace_header(text) || ends_trace(text)) break;
    if (is_stack_marker(text)) continue;
    std::optional<LogTraceEntry> entry = parse_trace_entry(text);
    if (!entry) {
      if (++foreign > max_foreign_lines) break;
      continue;
    }
    foreign = 0;
    in_registers = false;
    if (entry->marker != "?" && entry->marker != "L") block.entries.push_back(std::move(*entry));
  }
  return block;
}

}  // namespace

std::vector<LogLine> kernel_lines(const KernelLog& log) {
  std::vector<LogLine> lines;
  lines.reserve(log.records.size());
  for (size_t i = 0; i < log.records.size(); ++i) {
    const LogRecord& record = log.records[i];
    // Facility 0 is the kernel (LOG_KERN); devkmsg_write() gives user space another one.
    if (record.facility != 0) continue;
    std::string_view rest = record.text;
    while (!rest.empty()) {
      size_t end = rest.find('\n');
      lines.push_back({rest.substr(0, end), i});
      if (end == std::string_view::npos) break;
      rest.remove_prefix(end + 1);
    }
  }
  return lines;
}

std::optional<PanicLine> find_panic_line(const KernelLog& log) {
  for (const LogLine& line : kernel_lines(log)) {
    std::string_view text = trim(line.text);
    if (take_prefix(text, panic_prefix)) return PanicLine{escape_untrusted(text), line.record};
  }
  return std::nullopt;
}

std::optional<LogTraceEntry> parse_trace_entry(std::string_view line) {
  // The kernel indents entries by a blank, except where they begin with "[<address>]".
  if (!line.starts_with(' ') && !line.starts_with("[<")) return std::nullopt;
  std::string_view rest = trim(line);
  LogTraceEntry entry;
  if (take_prefix(rest, "? ")) entry.marker = "?";
  // arm64 before v4.15 and x86 before v4.9: "[<ffff000008081a10>] name+0x.../0x..."
  if (rest.starts_with("[<")) {
    size_t close = rest.find(">] ");
    if (close == std::string_view::npos) return std::nullopt;
    rest = trim_left(rest.substr(close + 3));
    if (take_prefix(rest, "? ")) entry.marker = "?";
  }
  size_t name_end = 0;
  while (name_end < rest.size() && symbol_character(rest[name_end])) ++name_end;
  if (name_end == 0) return std::nullopt;
  entry.function = escape_untrusted(rest.substr(0, name_end));
  rest.remove_prefix(name_end);
  if (take_prefix(rest, "+0x")) {
    std::optional<uint64_t> offset = take_number<uint64_t>(rest, 16);
    if (!offset || !take_prefix(rest, "/0x") || !take_number<uint64_t>(rest, 16)) return std::nullopt;
    entry.offset = *offset;
  } else if (!entry.function.starts_with("0x")) {
    return std::nullopt;  // neither name+offset nor an address: prose
  }
  rest = trim_left(rest);
  if (rest.starts_with('[')) {  // "[module]" or "[module build-id]"
    size_t close = rest.find(']');
    if (close == std::string_view::npos) return std::nullopt;
    std::string_view inside = rest.substr(1, close - 1);
    entry.module = escape_untrusted(inside.substr(0, inside.find(' ')));
    rest = trim_left(rest.substr(close + 1));
  }
  if (rest.starts_with('(')) {
    size_t close = rest.find(')');
    if (close == std::string_view::npos) return std::nullopt;
    if (entry.marker.empty()) entry.marker = escape_untrusted(rest.substr(1, close - 1));
    rest = trim_left(rest.substr(close + 1));
  }
  if (!rest.empty()) return std::nullopt;
  return entry;
}

std::optional<LogCpuLine> parse_cpu_line(std::string_view line) {
  line = trim(line);
  if (!line.starts_with("CPU: ")) return std::nullopt;
  std::optional<unsigned> cpu = number_after<unsigned>(line, "CPU: ");
  std::optional<int32_t> pid = number_after<int32_t>(line, " PID: ");
  size_t comm = line.find(" Comm: ");
  if (!cpu || !pid || comm == std::string_view::npos) return std::nullopt;
  // The name may hold blanks: what ends it is what the kernel prints next.
  std::string_view name = line.substr(comm + 7);
  size_t end = std::string_view::npos;
  for (std::string_view next : {" Kdump: loaded", " Not tainted", " Tainted: ", " tainted"}) {
    end = std::min(end, name.find(next));
  }
  return LogCpuLine{*cpu, *pid, escape_untrusted(name.substr(0, end))};
}

LogCrash find_log_crash(const KernelLog& log, std::optional<size_t> crash_record) {
  LogCrash crash;
  std::vector<LogLine> lines = kernel_lines(log);
  std::optional<PanicLine> panic = find_panic_line(log);
  size_t begin = panic ? panic->record : crash_record.value_or(0);

  std::optional<size_t> after, before;
  for (size_t i = 0; i < lines.size(); ++i) {
    if (!is_trace_header(lines[i].text)) continue;
    if (panic && lines[i].record >= begin) {
      after = i;
      break;
    }
    before = i;
  }
  // Without a panic line the oops went straight to the crash kernel; its trace is the first behind the
  // evidence.
  if (!panic && crash_record) {
    for (size_t i = 0; i < lines.size() && !after; ++i) {
      if (lines[i].record >= begin && is_trace_header(lines[i].text)) after = i;
    }
  }
  std::optional<size_t> header = after ? after : before;
  if (header) crash.trace = read_block(log, lines, *header).entries;

  // The CPU line stands before its trace: the nearest one above, else the first behind the panic line.
  if (header) {
    for (size_t i = *header; i-- > 0 && *header - i < 64;) {
      if ((crash.cpu_line = parse_cpu_line(lines[i].text))) return crash;
    }
  }
  begin = std::min(begin, crash_record.value_or(begin));
  for (const LogLine& line : lines) {
    if (line.record < begin) continue;
    if ((crash.cpu_line = parse_cpu_line(line.text))) break;
  }
  return crash;
}

}  // namespace kdk
