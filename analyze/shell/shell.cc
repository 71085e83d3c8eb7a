#include "analyze/shell/shell.h"

#include <stdio_ext.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <set>
#include <system_error>

#include "analyze/shell/aliases.h"
#include "analyze/shell/line.h"
#include "analyze/shell/line_editor.h"
#include "core/base/cli.h"
#include "core/base/error.h"
#include "core/base/log.h"

namespace kdk {
namespace {

constexpr int killed_by_signal = 128;  // plus its number, as sh(1) has it

// Signals of the terminal are the child's while there is one.
class IgnoreSignals {
 public:
  IgnoreSignals() {
    struct sigaction ignore {};
    ignore.sa_handler = SIG_IGN;
    sigaction(SIGINT, &ignore, &interrupt_);
    sigaction(SIGQUIT, &ignore, &quit_);
  }
  ~IgnoreSignals() {
    sigaction(SIGINT, &interrupt_, nullptr);
    sigaction(SIGQUIT, &quit_, nullptr);
  }
  IgnoreSignals(const IgnoreSignals&) = delete;
  IgnoreSignals& operator=(const IgnoreSignals&) = delete;

 private:
  struct sigaction interrupt_ {
  }, quit_{};
};

int in_child(const std::function<int()>& body) {
  std::fflush(nullptr);
  const IgnoreSignals ignore;
  const pid_t child = fork();
  if (child < 0) {
    log_error("a process for the command: {}", std::generic_category().message(errno));
    return exit_failed;
  }
  if (child == 0) {
    std::signal(SIGINT, SIG_DFL);
    std::signal(SIGQUIT, SIG_DFL);
    std::_Exit(run_main("kdump-analyze", body));
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status)) return WEXITSTATUS(status);
  if (WTERMSIG(status) == SIGINT)
    std::printf("\n");
  else
    log_error("the command was ended by signal {} ({})", WTERMSIG(status), strsignal(WTERMSIG(status)));
  return killed_by_signal + WTERMSIG(status);
}

int exit_code(int status) {
  return WIFEXITED(status) ? WEXITSTATUS(status) : exit_failed;
}

// Its stdout is what `reader` reads; the reader is waited for.
int with_reader(const std::string& reader, const std::function<int()>& body) {
  FILE* pipe = popen(reader.c_str(), "w");
  if (pipe == nullptr)
    throw Error(Errc::io, fmt::format("{}: {}", reader, std::generic_category().message(errno)));
  const int own = dup(STDOUT_FILENO);
  dup2(fileno(pipe), STDOUT_FILENO);
  const int code = run_main("kdump-analyze", body);
  // What a reader that had enough did not take is nobody's.
  __fpurge(stdout);
  clearerr(stdout);
  dup2(own, STDOUT_FILENO);
  close(own);
  const int reader_code = exit_code(pclose(pipe));
  return code != exit_done ? code : reader_code == 0 ? exit_done : exit_failed;
}

std::set<std::string> names_of(const ShellCommands& commands) {
  std::set<std::string> names;
  for (const ShellCommands::Entry& entry : commands.entries) names.insert(entry.name);
  return names;
}

void print_help(const ShellCommands& commands) {
  for (const ShellCommands::Entry& entry : commands.entries)
    std::printf("  %-8s  %s\n", entry.name.c_str(), entry.description.c_str());
  std::printf(
      "\nCOMMAND --help or help COMMAND: its options and an example.   help aliases: the names that crash(8) "
      "has.\n"
      "COMMAND | less, COMMAND > file: to a program, to a file.   !COMMAND: one of sh(1).   quit, Ctrl-D: "
      "leave.\n");
}

void print_aliases() {
  for (const Alias& alias : crash_aliases())
    std::printf("  %-28s %s\n", alias.name.c_str(), alias.meaning.c_str());
}

// In our words; help for one command is what that command says.
std::vector<std::string> meaning(std::vector<std::string> words, const std::set<std::string>& names) {
  if (words[0] == "?") words[0] = "help";
  if (words[0] == "help" && words.size() > 1 && words[1] != "aliases") words = {words[1], "--help"};
  return translate_alias(std::move(words), names);
}

struct Done {
  int code = exit_done;
  bool quit = false;
};

// `pager`: reads what no other reader was asked for; may be empty.
Done run_line(const ShellCommands& commands, const std::string& text, const std::string& pager) {
  const std::set<std::string> names = names_of(commands);
  std::vector<std::string> words;
  std::string reader;
  try {
    const size_t first = text.find_first_not_of(" \t");
    if (first != std::string::npos && text[first] == '!') {
      const IgnoreSignals ignore;
      return {exit_code(std::system(text.c_str() + first + 1)) == 0 ? exit_done : exit_failed, false};
    }
    ShellLine line = parse_shell_line(text);
    if (line.words.empty()) return {};
    if (line.words[0] == "quit" || line.words[0] == "exit" || line.words[0] == "q") return {exit_done, true};
    words = meaning(std::move(line.words), names);
    reader = line.reader.empty() ? pager : line.reader;
  } catch (const Error& error) {
    log_error("{}", error.message());
    if (!error.hint().empty()) std::fprintf(stderr, "hint: %s\n", escape_untrusted(error.hint()).c_str());
    return {exit_usage, false};
  }
  const auto body = [&]() -> int {
    if (words[0] == "help") {
      words.size() > 1 ? print_aliases() : print_help(commands);
      return exit_done;
    }
    if (!names.contains(words[0])) {
      log_error("{}: no such command; help lists them", words[0]);
      return exit_usage;
    }
    return commands.run(words);
  };
  return {in_child([&] { return reader.empty() ? body() : with_reader(reader, body); }), false};
}

// As crash(8) and git(1) do: what fits the screen is not paged.
std::string pager() {
  const char* asked = std::getenv("PAGER");
  if (asked != nullptr) return asked;
  setenv("LESS", "FRX", 0);
  return std::system("command -v less > /dev/null") == 0 ? "less" : "";
}

std::filesystem::path history_file() {
  const char *state = std::getenv("XDG_STATE_HOME"), *home = std::getenv("HOME");
  if (state != nullptr && *state == '/') return std::filesystem::path(state) / "kdumpkit" / "history";
  return std::filesystem::path(home != nullptr ? home : "/tmp") / ".local" / "state" / "kdumpkit" / "history";
}

// Which of two exit codes says more.
int worse(int a, int b) {
  const auto rank = [](int code) {
    return code == exit_done ? 0 : code == exit_partial ? 1 : code == exit_usage ? 2 : 3;
  };
  return rank(b) > rank(a) ? b : a;
}

}  // namespace

int run_shell_on_terminal(const ShellCommands& commands, const std::function<std::string()>& greeting) {
  in_child([&] {
    std::printf("%s", greeting().c_str());
    return int{exit_done};
  });
  LineEditor editor("kdump> ", history_file(),
                    [&](std::string_view text) { return complete(text, commands.vocabulary); });
  const std::string reader = pager();
  while (const std::optional<std::string> line = editor.read()) {
    if (run_line(commands, *line, reader).quit) return exit_done;
  }
  std::printf("\n");
  return exit_done;
}

int run_shell_script(const ShellCommands& commands, const std::vector<std::string>& lines) {
  int code = exit_done;
  const auto run = [&](const std::string& line) {
    const Done done = run_line(commands, line, "");
    code = worse(code, done.code);
    return !done.quit;
  };
  if (!lines.empty()) {
    for (const std::string& line : lines) {
      if (!run(line)) break;
    }
    return code;
  }
  std::string line;
  while (std::getline(std::cin, line) && run(line)) {
  }
  return code;
}

}  // namespace kdk
