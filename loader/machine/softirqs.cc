#include "loader/machine/softirqs.h"

#include <fmt/format.h>

#include <vector>

#include "core/base/error.h"
#include "loader/machine/parse.h"

namespace kdk {
namespace {

std::vector<std::string_view> words(std::string_view line) {
  std::vector<std::string_view> found;
  while (!line.empty()) {
    std::string_view word = next_token(line, ' ');
    if (!word.empty()) found.push_back(word);
  }
  return found;
}

// "CPU12"
unsigned cpu_number(std::string_view column) {
  std::optional<uint64_t> number;
  if (column.starts_with("CPU")) number = parse_number(column.substr(3), 10);
  if (!number || *number > UINT32_MAX)
    throw Error(Errc::format, fmt::format("/proc/softirqs: \"{}\" is no CPU", column));
  return static_cast<unsigned>(*number);
}

}  // namespace

std::set<unsigned> cpus_that_ran(std::string_view softirqs) {
  std::vector<unsigned> columns;
  for (std::string_view column : words(next_token(softirqs, '\n'))) columns.push_back(cpu_number(column));
  if (columns.empty()) throw Error(Errc::format, "/proc/softirqs: no CPUs in its first line");
  std::set<unsigned> ran;
  while (!softirqs.empty()) {
    // "TIMER:  600  310": a count for each column behind the name.
    std::vector<std::string_view> row = words(next_token(softirqs, '\n'));
    if (row.size() != columns.size() + 1)
      throw Error(Errc::format,
                  fmt::format("/proc/softirqs: a row of {} words for {} CPUs", row.size(), columns.size()));
    for (size_t i = 0; i < columns.size(); ++i) {
      std::optional<uint64_t> count = parse_number(row[i + 1], 10);
      if (!count) throw Error(Errc::format, fmt::format("/proc/softirqs: \"{}\" is no count", row[i + 1]));
      if (*count != 0) ran.insert(columns[i]);
    }
  }
  return ran;
}

}  // namespace kdk
