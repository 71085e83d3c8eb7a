#include "loader/machine/memory_map.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/base/bytes.h"
#include "core/base/error.h"
#include "loader/machine/parse.h"

namespace kdk {
namespace {

[[noreturn]] void bad_line(size_t number, std::string_view line, std::string_view why) {
  throw Error(Errc::format, fmt::format("/proc/iomem: line {}: {}: \"{}\"", number, why, line));
}

IomemEntry parse_line(std::string_view line, size_t number) {
  size_t indent = std::min(line.find_first_not_of(' '), line.size());
  if (indent % 2 != 0) bad_line(number, line, "indented by an odd number of spaces");
  std::string_view rest = line.substr(indent);
  size_t separator = rest.find(" : ");
  if (separator == std::string_view::npos) bad_line(number, line, "no \" : \" before the name");
  std::string_view addresses = rest.substr(0, separator);
  std::optional<uint64_t> first = parse_number(next_token(addresses, '-'), 16);
  std::optional<uint64_t> last = parse_number(addresses, 16);
  if (!first || !last) bad_line(number, line, "not two hexadecimal addresses");
  if (*last < *first) bad_line(number, line, "the range ends before it starts");
  std::optional<uint64_t> end = checked_add(*last, 1);
  if (!end) bad_line(number, line, "the range reaches the end of the 64-bit address space");
  return {
      {*first, *end - *first}, static_cast<unsigned>(indent / 2), std::string(rest.substr(separator + 3))};
}

bool is_system_ram(std::string_view name) {
  return name == "System RAM" || name.starts_with("System RAM (");
}

}  // namespace

std::string to_string(const Range& range) {
  return fmt::format("{:#x}-{:#x}", range.start, range.end() - 1);
}

MemoryMap parse_iomem(std::string_view text) {
  MemoryMap map;
  std::vector<Range> parents;  // parents[d]: the last resource seen at depth d
  bool any_address = false;
  for (size_t number = 1; !text.empty(); ++number) {
    std::string_view line = next_token(text, '\n');
    if (line.empty()) continue;
    IomemEntry entry = parse_line(line, number);
    if (entry.depth > parents.size()) bad_line(number, line, "nested deeper than its parent allows");
    any_address = any_address || entry.range != Range{0, 1};
    // With addresses hidden every line is 0-0, which contains itself.
    if (entry.depth > 0 && !parents[entry.depth - 1].contains(entry.range)) {
      bad_line(number, line, "the resource leaves its parent " + to_string(parents[entry.depth - 1]));
    }
    parents.resize(entry.depth);
    parents.push_back(entry.range);
    map.entries.push_back(std::move(entry));
  }
  if (map.entries.empty()) throw Error(Errc::format, "/proc/iomem: empty");
  if (!any_address) {
    throw Error(Errc::denied, "/proc/iomem: every address is hidden")
        .with_hint("run as root (CAP_SYS_ADMIN)");
  }
  return map;
}

std::vector<Range> MemoryMap::system_ram() const {
  std::vector<Range> ranges;
  for (const IomemEntry& entry : entries) {
    if (is_system_ram(entry.name)) ranges.push_back(entry.range);
  }
  return merge_ranges(std::move(ranges));
}

std::vector<Range> MemoryMap::crash_regions() const {
  std::vector<Range> regions;
  for (const IomemEntry& entry : entries) {
    if (entry.name == "Crash kernel") regions.push_back(entry.range);
  }
  std::sort(regions.begin(), regions.end());
  // The same region can be listed twice: once as reserved at boot, once as inserted by crashkernel.
  regions.erase(std::unique(regions.begin(), regions.end()), regions.end());
  for (size_t i = 1; i < regions.size(); ++i) {
    if (regions[i - 1].overlaps(regions[i])) {
      throw Error(Errc::format, fmt::format("/proc/iomem: crash kernel regions overlap: {} and {}",
                                            to_string(regions[i - 1]), to_string(regions[i])));
    }
  }
  return regions;
}

std::optional<Range> MemoryMap::find(std::string_view name) const {
  for (const IomemEntry& entry : entries) {
    if (entry.name == name) return entry.range;
  }
  return std::nullopt;
}

std::vector<Range> merge_ranges(std::vector<Range> ranges) {
  std::sort(ranges.begin(), ranges.end());
  std::vector<Range> merged;
  for (const Range& range : ranges) {
    if (range.size == 0) continue;
    if (!merged.empty() && range.start <= merged.back().end()) {
      merged.back().size = std::max(merged.back().end(), range.end()) - merged.back().start;
    } else {
      merged.push_back(range);
    }
  }
  return merged;
}

std::vector<Range> subtract_ranges(std::vector<Range> ranges, std::vector<Range> holes) {
  holes = merge_ranges(std::move(holes));
  std::vector<Range> left;
  for (Range range : merge_ranges(std::move(ranges))) {
    for (const Range& hole : holes) {
      if (!hole.overlaps(range)) continue;
      if (hole.start > range.start) left.push_back({range.start, hole.start - range.start});
      uint64_t next = std::min(hole.end(), range.end());
      range = {next, range.end() - next};
    }
    if (range.size != 0) left.push_back(range);
  }
  return left;
}

bool inside_any(const Range& range, const std::vector<Range>& merged) {
  return std::any_of(merged.begin(), merged.end(), [&](const Range& m) { return m.contains(range); });
}

uint64_t total_size(const std::vector<Range>& ranges) {
  uint64_t total = 0;
  for (const Range& range : ranges) total += range.size;
  return total;
}

}  // namespace kdk
