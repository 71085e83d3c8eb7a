// Log texts as arm64 and x86 kernels print them, shortened in the register and module lines. One per failure
// class; each is what a reader of a console would see from the first bad line to the last.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/kernel/printk.h"

namespace kdk::test {

struct OopsText {
  std::string_view name;        // expected class
  std::string_view deciding;    // contained in the first evidence
  std::string_view text;        // one record per line
  std::string_view trace_from;  // innermost function of the crash's own trace, "" when none
  std::string_view trace_to;    // outermost
  int cpu = -1;
  int pid = -1;
  std::string_view comm = {};
  bool in_interrupt = false;
};

// One record per line, 1 ms apart, starting at `start_ns`.
inline KernelLog log_of(std::string_view text, uint64_t start_ns = 100'000'000'000) {
  KernelLog log;
  while (!text.empty()) {
    size_t end = text.find('\n');
    LogRecord record;
    record.seq = 500 + log.records.size();
    record.time_ns = start_ns + log.records.size() * 1'000'000;
    record.text = std::string(text.substr(0, end));
    log.records.push_back(record);
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  return log;
}

std::vector<OopsText> oops_texts();
std::vector<OopsText> oops_texts_x86_64();
std::vector<OopsText> oops_texts_kasan();

}  // namespace kdk::test
