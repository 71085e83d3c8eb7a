// What the commands of kdump-analyze share: the options that mean the same everywhere, printing, the exit
// code. A command is one file here (CLI11 is not seen outside this folder and main.cc): it asks a question of
// answers.h or of a walker in inspect, and hands the answer to render.
#pragma once

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "analyze/commands/commands.h"
#include "analyze/render/render.h"
#include "analyze/session.h"
#include "core/base/cli.h"
#include "core/base/log.h"

namespace kdk {

struct Options {
  SessionOptions session;
  Session* opened = nullptr;  // of a shell
  std::string output;         // empty: stdout
  bool json = false, html = false;
};

// The session a command works in: the shell's, or one of its own.
class OpenSession {
 public:
  explicit OpenSession(const Options& options)
      : own_(options.opened == nullptr ? std::make_unique<Session>(options.session) : nullptr),
        session_(options.opened == nullptr ? *own_ : *options.opened) {}
  Session& operator*() const { return session_; }

 private:
  std::unique_ptr<Session> own_;
  Session& session_;
};

// One command while it is being described. The options fill an Options that run()'s body gets.
class Command {
 public:
  Command(Program& program, const std::string& name, const std::string& description);

  CLI::App& app() { return *app_; }

  // DUMP...: several files are the parts of one split set.
  void dump();
  // DUMP and then other words, which the caller adds; --part names the further parts of a split set.
  void one_dump();
  // --debug-dir, --no-debug-info.
  void debug_dirs();
  // --vmlinux and debug_dirs().
  void debug_info();
  // --json, -o.
  void output();
  // output() and --format text|json|html.
  void output_with_html();

  void run(std::function<int(const Options&)> body);

 private:
  struct Words;

  void vmcoreinfo();
  void hide_dump();

  CLI::App* app_;
  Program& program_;
  std::shared_ptr<Words> words_;
};

// To stdout, or to the file of -o, whole or not at all. A failed write to stdout is run_main's to report.
void emit(const Options& options, const std::string& text);

// Prints an answer and says on stderr what its text form does not show (`limits_in_text`: it shows all).
// Returns exit_done or exit_partial.
template <typename Answer>
int finish(const Options& options, const Answer& answer, bool limits_in_text = false) {
  // Names and messages are escaped where they enter the model; this is the net under that.
  emit(options, options.json ? to_json_text(answer) : escape_untrusted(to_text(answer), "\n\t"));
  if (!limits_in_text && !options.json) {
    for (const Limit& limit : answer.limits) {
      // Of the vmlinux a shell has said it, when it opened the dump.
      const bool vmlinux = limit.path == "/evidence/vmlinux" && options.opened == nullptr;
      const bool matters = limit.damage || vmlinux || limit.path.starts_with("/evidence/modules/");
      if (matters) log_warning("{}{}", limit.detail, limit.need.empty() ? "" : "; would help: " + limit.need);
    }
  }
  return partial(answer.limits) ? exit_partial : exit_done;
}

}  // namespace kdk
