// Pieces that several renderings for people share: phrases of the text and HTML reports, tables of the text
// ones.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "analyze/triage/report.h"

namespace kdk::text {

// Letters of task states in the order in which they may explain a crash.
constexpr std::string_view task_state_order = "DRTtZXPSI?";
constexpr size_t width = 100;  // columns the tables aim for

// "LOG  (last 40 of 512 records)" underlined.
std::string heading(std::string_view title, std::string_view remark = {});
// "1.0 GiB", "512 KiB", "17 bytes".
std::string bytes(uint64_t n);
// "2026-11-23 18:01:26 UTC"; the number itself when it is no date.
std::string utc(uint64_t epoch_seconds);
// "14.2 s", "3 d 04:05:06".
std::string duration(uint64_t nanoseconds);
// "panic+0x398/0x3c8 [module]", or the address and its distance from _stext when it has no name.
std::string frame_name(const Frame& frame);
// The same and ", file:line" where it is known.
std::string frame_and_position(const Frame& frame);
// "noticed by __list_add_valid+0x7c/0xb8, lib/list_debug.c:29", or which address it called that cannot be
// executed. Both frames of `who` are known.
std::string noticed_by(const Culprit& who);
// "default: 3 mac, 1 host"; empty when nothing was to be taken out.
std::string redaction(const Redaction& done);
// " (scan)", " (called a bad address)": what is not proven of the frame; "" when it is.
std::string frame_remark(const Frame& frame);
// "drivers/tty/sysrq.c:154" or "".
std::string position(std::string_view file, unsigned line);
// Numbered frames, innermost first, with inlined functions on rows of their own and exceptions marked.
// `variables`: below each function, what it had.
std::string backtrace(const Backtrace& trace, bool addresses,
                      const std::vector<FunctionVariables>* variables = nullptr);
// Four registers a row.
std::string registers(const Registers& registers, const Arch& arch);
// "CPU 1 (crashed), task sh, pid 123".
std::string cpu_title(const CpuState& cpu);
// `text` wrapped at `width` columns, every line after `first` starting with `indent`.
std::string wrap(std::string_view first, std::string_view text, std::string_view indent);
// The text, or "unknown" when it is empty.
std::string or_unknown(std::string_view value);
// "CPU 1, task sh, pid 123".
std::string who(const Crash& crash);
// "mount.nfs, pid 214"
std::string task_name(const Task& task);
// "web1, 8 CPUs, 16.0 GiB RAM".
std::string host(const Report& report);
// "2026-11-23 18:01:26 UTC, 14.2 s after boot".
std::string crash_time(const SystemInfo& system);
// "arm64: 4.0 KiB pages, 48-bit virtual, 48-bit physical". Only where system.va is known.
std::string addresses(const SystemInfo& system);
// "kdump-compressed (flattened), 17.1 MiB, INCOMPLETE".
std::string dump_file(const InputFacts& input);
// Where the registers of a CPU's note come from.
std::string registers_source(const CpuState& cpu);
// "T1: names and types out of the dump, no source lines".
std::string basis(const Evidence& evidence);
// "tainted PO (P: proprietary module; O: ...)", "not tainted", "taint unknown".
std::string taint(const SystemInfo& system);
// "#PF page fault: write to 0x8 (NULL pointer + 0x8): page not present".
std::string fault_line(const Fault& fault);
// "0x0002; W: write access". Only for a fault that has an error code.
std::string error_code(const Fault& fault);
// "movq 8(%rax), %rdx; rax 0x10: address 0x18".
std::string faulting_code(const FaultingCode& code);
// "not mapped at PMD".
std::string page_tables(const Fault::Tables& tables);
// The LIMITS section; "" when there are none.
std::string limits(const std::vector<Limit>& limits);

}  // namespace kdk::text
