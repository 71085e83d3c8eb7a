#include "analyze/render/log.h"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>

#include "analyze/render/render.h"
#include "core/base/log.h"

namespace kdk {
namespace {

constexpr uint64_t second = 1'000'000'000;

std::string wall_stamp(uint64_t ns) {
  const std::time_t time = static_cast<std::time_t>(ns / second);
  std::tm parts{};
  char buffer[64];
  if (gmtime_r(&time, &parts) == nullptr ||
      std::strftime(buffer, sizeof buffer, "%Y-%m-%d %H:%M:%S", &parts) == 0)
    return fmt::format("{}.{:06}", ns / second, ns % second / 1000);
  return fmt::format("{}.{:06}", buffer, ns % second / 1000);
}

}  // namespace

std::string to_text(const ShownLog& log) {
  std::string out;
  for (const LogRecord& record : log.report.log.records) {
    // format_record() is the one home of lines, escapes and remarks; only the stamp in front is exchanged.
    const std::string plain = format_record(record);
    const size_t stamp = plain.find("] ") + 2;
    std::string prefix = plain.substr(0, stamp);
    const bool wall = log.boot_ns && record.time_ns <= UINT64_MAX - *log.boot_ns;
    if (wall) prefix = fmt::format("[{}] ", wall_stamp(*log.boot_ns + record.time_ns));
    if (log.view.show_callers) prefix += fmt::format("{:<8}", caller_name(record));
    std::string_view rest = std::string_view(plain).substr(stamp);
    out += prefix;
    while (true) {
      const size_t newline = rest.find('\n');
      out += rest.substr(0, newline);
      if (newline == std::string_view::npos) break;
      rest.remove_prefix(std::min(newline + 1 + stamp, rest.size()));  // the old indent
      out += '\n' + std::string(prefix.size(), ' ');
    }
    out += '\n';
  }
  return out;
}

std::string to_json_text(const ShownLog& log) {
  return to_json_text(log.report);
}

}  // namespace kdk
