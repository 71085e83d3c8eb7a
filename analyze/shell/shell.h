// The shell of kdump-analyze: one dump, opened once, and many questions.
//
// Each command runs in a child process, which has the opened dump from its parent: Ctrl-C ends the command
// and not the shell, whatever a command costs is given back, and one that dies takes nothing with it.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "analyze/shell/complete.h"

namespace kdk {

struct ShellCommands {
  // Runs one command, in the child. Returns its exit code.
  std::function<int(const std::vector<std::string>& words)> run;
  struct Entry {
    std::string name, description;
  };
  std::vector<Entry> entries;  // in the order of --help
  Vocabulary vocabulary;
};

// From a terminal: a line editor with history and completion, output through a pager, until Ctrl-D or `quit`.
// Returns exit_done. `greeting` makes what is shown first, in a child as well: what it reads is not kept.
int run_shell_on_terminal(const ShellCommands& commands, const std::function<std::string()>& greeting);

// Each line of stdin, or of `lines` if there are any. A command that fails does not end it. Returns
// exit_done, or the exit code that says most: failed, usage, partial.
int run_shell_script(const ShellCommands& commands, const std::vector<std::string>& lines);

}  // namespace kdk
