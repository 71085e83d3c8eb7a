#include "analyze/inspect/log_view.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

namespace kdk {
namespace {

constexpr uint32_t is_cpu = uint32_t{1} << 31;  // kernel/printk/printk.c, printk_caller_id()
constexpr uint64_t second = 1'000'000'000;

std::optional<uint32_t> number(std::string_view text) {
  uint32_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace

std::optional<uint8_t> log_level(std::string_view word) {
  // include/linux/kern_levels.h, and how dmesg(1) calls them.
  static constexpr std::array<std::pair<std::string_view, uint8_t>, 10> names = {{{"emerg", 0},
                                                                                  {"alert", 1},
                                                                                  {"crit", 2},
                                                                                  {"err", 3},
                                                                                  {"error", 3},
                                                                                  {"warn", 4},
                                                                                  {"warning", 4},
                                                                                  {"notice", 5},
                                                                                  {"info", 6},
                                                                                  {"debug", 7}}};
  for (const auto& [name, level] : names) {
    if (name == word) return level;
  }
  const auto value = number(word);
  return value && *value <= 7 ? std::optional(static_cast<uint8_t>(*value)) : std::nullopt;
}

std::optional<uint32_t> log_caller(std::string_view word) {
  const bool cpu = word.starts_with('C');
  if (cpu || word.starts_with('T')) word.remove_prefix(1);
  const auto value = number(word);
  // Zero stands for "not recorded".
  if (!value || *value >= is_cpu || (!cpu && *value == 0)) return std::nullopt;
  return cpu ? *value | is_cpu : *value;
}

std::string caller_name(const LogRecord& record) {
  if (record.caller_id == 0) return {};
  const bool cpu = (record.caller_id & is_cpu) != 0;
  return fmt::format("{}{}", cpu ? 'C' : 'T', record.caller_id & ~is_cpu);
}

void select_records(KernelLog& log, const LogView& view) {
  std::erase_if(log.records, [&](const LogRecord& record) {
    if (view.level && record.level > *view.level) return true;
    return !view.callers.empty() &&
           std::find(view.callers.begin(), view.callers.end(), record.caller_id) == view.callers.end();
  });
}

std::optional<uint64_t> boot_time_ns(const KernelLog& log, std::optional<uint64_t> crash_time) {
  if (log.records.empty() || !crash_time || *crash_time > 253402300799) return std::nullopt;  // the year 9999
  const uint64_t crash = *crash_time * second, last = log.records.back().time_ns;
  return last <= crash ? std::optional(crash - last) : std::nullopt;
}

}  // namespace kdk
