// Files like /etc/default/NAME: assignments that a shell reads. Only what means the same to every shell is
// taken: one NAME=VALUE a line, the value plain or in one kind of quotes. Nothing is executed or expanded.
// Source: POSIX.1-2017, Shell Command Language, 2.2 and 2.9.1.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace kdk {

struct ShellAssignment {
  std::string name, value;
  unsigned line = 0;
  bool is_plain = true;  // false: the shell would make something else of it; `value` is the text as it stands
};

// Empty when no line is an assignment. Where one is, lines that are none are in the list, too, and not plain.
std::vector<ShellAssignment> shell_assignments(std::string_view text);

}  // namespace kdk
