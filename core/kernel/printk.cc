#include "core/kernel/printk.h"

#include <fmt/format.h>

#include "core/base/log.h"
#include "core/kernel/printk_reader.h"

namespace kdk {

uint64_t LogReader::offset(std::string_view type_member) const {
  if (auto v = info.offset(type_member)) return *v;
  throw Error(Errc::missing, fmt::format("VMCOREINFO has no OFFSET({})", type_member));
}

uint64_t LogReader::size(std::string_view type) const {
  if (auto v = info.size(type)) return *v;
  throw Error(Errc::missing, fmt::format("VMCOREINFO has no SIZE({})", type));
}

KernelLog read_log(const Vmcoreinfo& info, const ReadMemory& read) {
  KernelLog log;
  LogReader reader{info, read, log};
  try {
    if (info.symbol("prb")) {
      log.source = "printk_ringbuffer";
      read_printk_ring(reader);
    } else if (info.symbol("log_buf") && info.symbol("log_first_idx")) {
      log.source = "printk_log";
      read_printk_records(reader);
    } else {
      reader.problem("VMCOREINFO has neither SYMBOL(prb) nor SYMBOL(log_buf) with SYMBOL(log_first_idx)");
    }
  } catch (const Error& e) {
    reader.problem("the kernel log cannot be read: " + e.message());
  }
  if (log.records.empty() && log.problems.empty()) reader.problem("the kernel log holds no record");
  return log;
}

KernelLog read_log(KernelMemory& memory) {
  return read_log(memory.vmcoreinfo(), [&](VirtAddr va, MutableBytes out) { return memory.read(va, out); });
}

std::string format_record(const LogRecord& record) {
  constexpr uint64_t ns_per_s = 1'000'000'000;
  const std::string prefix =
      fmt::format("[{:5}.{:06}] ", record.time_ns / ns_per_s, record.time_ns % ns_per_s / 1000);
  std::string out = prefix;
  std::string_view rest = record.text;
  while (true) {
    const size_t newline = rest.find('\n');
    out += escape_untrusted(rest.substr(0, newline), "\t");
    if (newline == std::string_view::npos) break;
    rest.remove_prefix(newline + 1);
    if (rest.empty()) break;
    out += '\n';
    out.append(prefix.size(), ' ');
  }
  if (record.incomplete) out += " [record not committed]";
  return out;
}

}  // namespace kdk
