// A kernel log as text: failure class, panic line, CPU line and call trace. The first byte makes the records
// carry caller ids and facilities.
#include "core/diagnose/crash.h"
#include "core/diagnose/fault_decoder.h"
#include "core/diagnose/log_trace.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace kdk;
  if (size == 0 || size > 64 << 10) return 0;
  uint8_t mode = data[0];
  std::string_view text = as_text({data + 1, size - 1});
  KernelLog log;
  while (!text.empty()) {
    size_t end = text.find('\n');
    LogRecord record;
    record.seq = log.records.size();
    record.time_ns = record.seq * 1'000'000;
    record.caller_id = mode & 1 ? static_cast<uint32_t>(record.seq % 3) : 0;
    record.facility = mode & 2 ? static_cast<uint8_t>(record.seq % 2) : 0;
    record.text = std::string(text.substr(0, end));
    log.records.push_back(std::move(record));
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  CrashClass result = classify(log);
  if (result.name.empty() || result.title.empty() || result.evidence.size() > 64) __builtin_trap();
  find_log_crash(log);
  find_log_crash(log, log.records.size() / 2);
  find_log_crash(log, log.records.size() + 7);
  for (const FaultDecoder* decoder : {&arm64_faults(), &x86_64_faults()}) {
    Fault fault;
    for (const LogLine& line : kernel_lines(log)) decoder->read_line(line.text, fault);
    decoder->decode(fault);
    if (describe(fault).size() > 512) __builtin_trap();
  }
  return 0;
}
