// Which machine, which kernel, in which state: identity facts, each with the best source the dump has.
// Source: init/version.c (init_uts_ns), kernel/panic.c (taint_flags), init/main.c (saved_command_line).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/kernel/kernel.h"
#include "core/kernel/printk.h"

namespace kdk {

struct TaintFlag {
  unsigned bit = 0;
  char letter = '?';
  std::string_view meaning;
};

struct SystemInfo {
  // Escaped text; empty = unknown.
  std::string release, version, machine, hostname, build_id, architecture;
  std::optional<unsigned> cpus_possible, cpus_online;
  std::optional<uint64_t> crash_time;  // seconds since the epoch (VMCOREINFO CRASHTIME)
  std::optional<uint64_t> uptime_ns;   // time stamp of the last log record
  std::optional<uint64_t> boot_time;   // seconds since the epoch: crash_time - uptime
  std::optional<uint64_t> kaslr_offset;
  std::optional<VaLayout> va;
  std::optional<uint64_t> taint_mask;  // nullopt when only the letters are known (from the log)
  std::string taint_letters;           // "" with a known taint_source = not tainted
  std::vector<TaintFlag> taint_flags;
  std::string taint_source;  // "tainted_mask", "log" or empty = unknown
  std::string command_line;
  std::string command_line_source;  // "saved_command_line", "log" or empty = unknown
};

// Facts of the dump alone (kdump-compressed header, VMCOREINFO): no memory is read.
SystemInfo system_from_dump(const Dump& dump);
// Fills in what kernel memory and the log add. Never throws; `log` may be empty.
void complete_system(SystemInfo& system, Kernel& kernel, const KernelLog& log);

// Set bits of a taint mask in bit order; unknown bits get '?'.
std::vector<TaintFlag> decode_taint(uint64_t mask);
// Letters after "Tainted:" in an oops line, blanks removed; "" for "Not tainted"; nullopt when the line says
// neither.
std::optional<std::string> taint_letters_in(std::string_view log_line);

}  // namespace kdk
