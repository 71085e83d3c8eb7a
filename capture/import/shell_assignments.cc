#include "capture/import/shell_assignments.h"

#include <algorithm>
#include <sstream>

namespace kdk {
namespace {

bool is_name(std::string_view text) {
  if (text.empty() || std::isdigit(static_cast<unsigned char>(text.front())) != 0) return false;
  return std::ranges::all_of(text, [](unsigned char c) { return std::isalnum(c) != 0 || c == '_'; });
}

// The value behind the '='; false when it is not plain.
bool plain_value(std::string_view text, std::string& out) {
  char quote = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quote == 0 && (c == ' ' || c == '\t')) {
      // Behind the value only a comment may come: another word would be a command.
      const size_t next = text.find_first_not_of(" \t", i);
      return next == std::string_view::npos || text[next] == '#';
    }
    if (quote == 0 && (c == '"' || c == '\'')) {
      quote = c;
    } else if (c == quote) {
      quote = 0;
    } else if ((c == '$' || c == '`' || c == '\\') && quote != '\'') {
      return false;
    } else if (quote == 0 && std::string_view(";&|<>()*?[").find(c) != std::string_view::npos) {
      return false;
    } else {
      out += c;
    }
  }
  return quote == 0;
}

}  // namespace

std::vector<ShellAssignment> shell_assignments(std::string_view text) {
  std::vector<ShellAssignment> out;
  std::istringstream lines{std::string(text)};
  unsigned number = 0;
  bool any = false;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    const size_t start = line.find_first_not_of(" \t");
    if (start == std::string::npos || line[start] == '#') continue;
    std::string_view rest = std::string_view(line).substr(start);
    while (!rest.empty() && (rest.back() == ' ' || rest.back() == '\t' || rest.back() == '\r'))
      rest.remove_suffix(1);
    if (rest.starts_with("export ")) rest.remove_prefix(7);
    const size_t equals = rest.find('=');
    ShellAssignment assignment;
    assignment.line = number;
    if (equals == std::string_view::npos || !is_name(rest.substr(0, equals))) {
      assignment.value = rest;
      assignment.is_plain = false;
    } else {
      any = true;
      assignment.name = rest.substr(0, equals);
      assignment.is_plain = plain_value(rest.substr(equals + 1), assignment.value);
      if (!assignment.is_plain) assignment.value = rest.substr(equals + 1);
    }
    out.push_back(std::move(assignment));
  }
  if (!any) out.clear();
  return out;
}

}  // namespace kdk
