// The kernel log out of a dump: the lockless ring buffer (v5.10 and later) and the older record buffer (v3.5
// to v5.9), found through VMCOREINFO alone, so it works without symbols or types. Source:
// kernel/printk/printk_ringbuffer.{h,c}, kernel/printk/printk.c.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "core/kernel/memory.h"

namespace kdk {

struct LogRecord {
  uint64_t seq = 0;
  uint64_t time_ns = 0;  // since boot
  uint8_t level = 0;     // 0 emerg .. 7 debug
  uint8_t facility = 0;
  uint32_t caller_id = 0;     // bit 31: CPU number, else thread id; 0 = not recorded (CONFIG_PRINTK_CALLER=n)
  bool continuation = false;  // LOG_CONT
  bool incomplete =
      false;  // reserved but not committed when the kernel stopped; time_ns and level may still be 0
  bool truncated = false;         // text length contradicts its block; what is there is shown
  std::string text;               // raw bytes, may hold '\n' and control bytes: escape before printing
  std::string subsystem, device;  // dev_printk_info
};

struct KernelLog {
  std::vector<LogRecord> records;     // in seq order
  std::string source;                 // "printk_ringbuffer", "printk_log", ""
  std::vector<std::string> problems;  // sentences: gaps, unreadable parts, salvage mode
};

// Reads what can be read; never throws. An empty log with a problem says why.
KernelLog read_log(KernelMemory& memory);

// The same over any memory, for unit tests and fuzzing.
using ReadMemory = std::function<ReadResult(VirtAddr, MutableBytes)>;
KernelLog read_log(const Vmcoreinfo& info, const ReadMemory& read);

// The record as dmesg prints it: "[    1.234567] text", further lines of a multi-line record indented to the
// text, control bytes but the tab escaped. No trailing newline.
std::string format_record(const LogRecord& record);

}  // namespace kdk
