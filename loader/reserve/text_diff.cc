#include "loader/reserve/text_diff.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

namespace kdk {
namespace {

constexpr size_t context = 3;

struct Line {
  char sign;              // ' ', '-', '+'
  std::string_view text;  // with its line break, if it has one
  size_t old_number;      // of this line, or of the next one that is in that file; from 0
  size_t new_number;
};

std::vector<std::string_view> split_lines(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    size_t length = std::min(text.find('\n'), text.size() - 1) + 1;
    lines.push_back(text.substr(0, length));
    text.remove_prefix(length);
  }
  return lines;
}

// Longest common subsequence, by the table of lengths from each pair of positions to the ends.
std::vector<Line> compare(const std::vector<std::string_view>& a, const std::vector<std::string_view>& b) {
  std::vector<std::vector<size_t>> common(a.size() + 1, std::vector<size_t>(b.size() + 1, 0));
  for (size_t i = a.size(); i-- > 0;) {
    for (size_t j = b.size(); j-- > 0;) {
      common[i][j] = a[i] == b[j] ? common[i + 1][j + 1] + 1 : std::max(common[i + 1][j], common[i][j + 1]);
    }
  }
  std::vector<Line> lines;
  size_t i = 0;
  size_t j = 0;
  while (i < a.size() || j < b.size()) {
    if (i < a.size() && j < b.size() && a[i] == b[j]) {
      lines.push_back({' ', a[i], i, j});
      ++i, ++j;
    } else if (j == b.size() || (i < a.size() && common[i + 1][j] >= common[i][j + 1])) {
      lines.push_back({'-', a[i], i, j});
      ++i;
    } else {
      lines.push_back({'+', b[j], i, j});
      ++j;
    }
  }
  return lines;
}

// "3,7" with numbers from 1, "3" for one line; an empty range names the line before it.
std::string range_text(size_t start, size_t count) {
  if (count == 1) return std::to_string(start + 1);
  return fmt::format("{},{}", count == 0 ? start : start + 1, count);
}

std::string hunk_text(const std::vector<Line>& lines, size_t begin, size_t end) {
  size_t old_count = 0;
  size_t new_count = 0;
  std::string body;
  for (size_t i = begin; i < end; ++i) {
    old_count += lines[i].sign != '+';
    new_count += lines[i].sign != '-';
    body += lines[i].sign;
    body += lines[i].text;
    if (!lines[i].text.ends_with('\n')) body += "\n\\ No newline at end of file\n";
  }
  return fmt::format("@@ -{} +{} @@\n{}", range_text(lines[begin].old_number, old_count),
                     range_text(lines[begin].new_number, new_count), body);
}

}  // namespace

std::string unified_diff(std::string_view old_name, std::string_view old_text, std::string_view new_name,
                         std::string_view new_text) {
  if (old_text == new_text) return "";
  std::vector<Line> lines = compare(split_lines(old_text), split_lines(new_text));
  auto next_change = [&](size_t from) {
    while (from < lines.size() && lines[from].sign == ' ') ++from;
    return from;
  };
  std::string out = fmt::format("--- {}\n+++ {}\n", old_name, new_name);
  for (size_t change = next_change(0); change < lines.size();) {
    size_t begin = change - std::min(change, context);
    size_t end = change;
    // Changes whose contexts touch share a hunk.
    while (change < lines.size() && change <= end + 2 * context) {
      end = change + 1;
      change = next_change(end);
    }
    out += hunk_text(lines, begin, std::min(end + context, lines.size()));
  }
  return out;
}

}  // namespace kdk
