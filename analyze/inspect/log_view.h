// What `log` shows of the log, and how.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/kernel/printk.h"

namespace kdk {

struct LogView {
  std::optional<uint8_t> level;   // this and what is more severe
  std::vector<uint32_t> callers;  // LogRecord::caller_id; empty: all
  bool show_callers = false;
  bool wall = false;  // wall-clock times instead of those since boot
};

// "err", "warn", ..., or a number, as dmesg(1) and printk name them; nullopt: none of these.
std::optional<uint8_t> log_level(std::string_view word);
// "T123" or "123": a thread, "C0": a CPU outside of tasks; nullopt: neither.
std::optional<uint32_t> log_caller(std::string_view word);
// "T123", "C0", or "" when it was not recorded.
std::string caller_name(const LogRecord& record);

// Removes what the view leaves out.
void select_records(KernelLog& log, const LogView& view);

// Nanoseconds from the epoch to the boot, good to a second: from the time of the crash in whole seconds and
// the log's last time stamp. nullopt when either is missing.
std::optional<uint64_t> boot_time_ns(const KernelLog& log, std::optional<uint64_t> crash_time);

}  // namespace kdk
