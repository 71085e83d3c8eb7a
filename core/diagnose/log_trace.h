// What the kernel itself wrote about its crash: the panic line, who was running, and its own call trace.
// Source: kernel/panic.c (panic), lib/dump_stack.c (dump_stack_print_info), arch/arm64/kernel/stacktrace.c
// (dump_backtrace), arch/x86/kernel/dumpstack.c (show_trace_log_lvl).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/kernel/printk.h"

namespace kdk {

// One line of the log, with the record it came from. Records that user space wrote (/dev/kmsg) are not the
// kernel's word and are left out.
struct LogLine {
  std::string_view text;  // into the record; level and time are not part of it
  size_t record = 0;      // index into KernelLog::records
};
std::vector<LogLine> kernel_lines(const KernelLog& log);

struct PanicLine {
  std::string message;  // after "Kernel panic - not syncing: ", escaped
  size_t record = 0;    // index into KernelLog::records
};
// The first panic line: a second one would come from a panic inside panic().
std::optional<PanicLine> find_panic_line(const KernelLog& log);

// "CPU: 0 UID: 0 PID: 1 Comm: init Kdump: loaded Not tainted ..." of the crash.
struct LogCpuLine {
  unsigned cpu = 0;
  int32_t pid = 0;
  std::string comm;  // escaped, at most 20 bytes as the kernel prints it
};

// One entry of "Call trace:".
struct LogTraceEntry {
  std::string function;  // escaped; "0x..." for an address the kernel could not name
  uint64_t offset = 0;   // bytes into the function, 0 when the kernel printed none
  std::string module = {};
  std::string marker = {};  // "P", "L", ... (arm64 since v6.13), without brackets
};

struct LogCrash {
  std::optional<LogCpuLine> cpu_line;
  std::vector<LogTraceEntry> trace;  // innermost first; "?" entries and link-register guesses ("L") dropped
};
// The trace and CPU line that belong to the crash: the first after the panic line (panic() prints its own
// stack), else the last of the oops before it, else the last in the log. `crash_record` is where the crash
// begins (deciding evidence), for logs that have no panic line.
LogCrash find_log_crash(const KernelLog& log, std::optional<size_t> crash_record = std::nullopt);

// Parses one line after "Call trace:"; nullopt when it is not an entry. Entries the kernel marked as
// unreliable ("? ") come back with marker "?".
std::optional<LogTraceEntry> parse_trace_entry(std::string_view line);
std::optional<LogCpuLine> parse_cpu_line(std::string_view line);

}  // namespace kdk
