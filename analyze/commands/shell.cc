// `kdump-analyze shell`.
#include "analyze/shell/shell.h"

#include <unistd.h>

#include <algorithm>

#include "analyze/answers.h"
#include "analyze/commands/command.h"
#include "analyze/commands/commands.h"
#include "core/kernel/system.h"

namespace kdk {
namespace {

// The commands of a shell, described anew for each line: CLI11 remembers what it has parsed.
class DumpCommands {
 public:
  explicit DumpCommands(Session& session) : program_{app_, {}, &session} {
    app_.name("");
    app_.require_subcommand(1);
    add_dump_commands(program_);
  }

  // `dump`: what stands for the DUMP of the command line.
  int run(const std::vector<std::string>& words, const std::string& dump) {
    std::vector<std::string> arguments(words.rbegin(), words.rend());  // as CLI11 takes them
    arguments.insert(arguments.end() - 1, dump);
    try {
      app_.parse(arguments);
    } catch (const CLI::ParseError& error) {
      return app_.exit(error) == 0 ? exit_done : exit_usage;
    }
    return program_.chosen();
  }

  std::vector<ShellCommands::Entry> entries() const {
    std::vector<ShellCommands::Entry> out;
    for (const CLI::App* command : app_.get_subcommands(nullptr))
      out.push_back({command->get_name(), command->get_description()});
    return out;
  }

  std::vector<std::string> options(const std::string& name) const {
    std::vector<std::string> out;
    for (const CLI::App* command : app_.get_subcommands(nullptr)) {
      if (command->get_name() != name) continue;
      for (const CLI::Option* option : command->get_options()) {
        for (const std::string& word : option->get_lnames()) out.push_back("--" + word);
      }
    }
    return out;
  }

 private:
  CLI::App app_;
  Program program_;
};

// What the dump's symbols and types offer to complete a word.
class DumpNames {
 public:
  explicit DumpNames(Session& session) : session_(session) {}

  std::vector<std::string> symbols(std::string_view prefix) {
    std::vector<std::string> out;
    Kernel* kernel = session_.kernel();
    if (kernel == nullptr) return out;
    SymbolTable& table = kernel->symbols();
    for (size_t i = 0; i < table.size() && out.size() < most_completions; ++i) {
      const Symbol symbol = table.at(i);
      if (symbol.name.starts_with(prefix)) out.emplace_back(symbol.name);
    }
    return out;
  }

  std::vector<std::string> types(std::string_view prefix) {
    if (type_names_.empty()) list_types();
    std::vector<std::string> out;
    for (auto name = std::ranges::lower_bound(type_names_, prefix);
         name != type_names_.end() && name->starts_with(prefix) && out.size() < most_completions; ++name)
      out.emplace_back(*name);
    return out;
  }

  std::vector<std::string> members(std::string_view type) {
    std::vector<std::string> out;
    const Btf* btf = types_of_kernel();
    if (btf == nullptr) return out;
    for (uint32_t id : btf->named(type)) {
      const std::optional<Btf::Record> record = btf->record(id);
      if (!record) continue;
      for (const Btf::Record::Field& field : record->fields) {
        if (!field.name.empty()) out.emplace_back(field.name);
      }
    }
    return out;
  }

 private:
  const Btf* types_of_kernel() { return session_.kernel() == nullptr ? nullptr : session_.types().types(); }

  void list_types() {
    const Btf* btf = types_of_kernel();
    if (btf == nullptr) return;
    for (size_t id = 1; id < btf->type_count(); ++id) {
      const std::optional<Btf::Record> record = btf->record(static_cast<uint32_t>(id));
      using Kind = Btf::Record::Kind;
      if (record && !record->name.empty() && record->kind != Kind::function && record->kind != Kind::other)
        type_names_.push_back(record->name);
    }
    std::ranges::sort(type_names_);
    type_names_.erase(std::unique(type_names_.begin(), type_names_.end()), type_names_.end());
  }

  Session& session_;
  std::vector<std::string_view> type_names_;  // sorted; as long as the types
};

// What it is, and of what it died.
std::string greeting(Session& session) {
  const BacktraceReport crash = make_backtrace(session, false);
  std::string out = crash.input.files.empty() ? "" : escape_untrusted(crash.input.files.front());
  const SystemInfo system = make_info(session).identity;
  out += fmt::format(": Linux {} ({})", system.release.empty() ? "of an unknown release" : system.release,
                     crash.input.architecture);
  if (crash.crash) out += fmt::format("\n{}", escape_untrusted(crash.crash->crash_class.title));
  out += "\nhelp: the commands; Tab completes names; Ctrl-D: leave\n";
  return out;
}

}  // namespace

void add_shell(Program& program) {
  Command command(program, "shell",
                  "Ask a dump one question after the other; crash's command names work, too");
  auto lines = std::make_shared<std::vector<std::string>>();
  command.dump();
  command.app()
      .add_option("-c,--command", *lines, "Run this line instead of those of stdin (may be repeated)")
      ->type_name("LINE")
      ->allow_extra_args(false);
  command.debug_info();
  command.run([lines](const Options& options) -> int {
    Session session(options.session);
    // What every command needs is made ready here once, and not again in each child.
    if (session.kernel() != nullptr) {
      session.debug_info();
      session.modules();
    }
    for (const Limit& limit : session.common_limits()) {
      if (limit.path == "/evidence/vmlinux")
        log_warning("{}{}", limit.detail, limit.need.empty() ? "" : "; would help: " + limit.need);
    }
    DumpCommands described(session);
    DumpNames names(session);
    const std::string dump = std::filesystem::absolute(options.session.dump.front()).string();
    ShellCommands commands;
    commands.run = [&](const std::vector<std::string>& words) {
      // Memory of a running machine goes on while the shell waits.
      if (session.kernel() != nullptr) session.kernel()->memory().forget_pages();
      return DumpCommands(session).run(words, dump);
    };
    commands.entries = described.entries();
    commands.vocabulary.commands = [&] {
      std::vector<std::string> out{"help", "quit"};
      for (const ShellCommands::Entry& entry : commands.entries) out.push_back(entry.name);
      return out;
    };
    commands.vocabulary.options = [&](std::string_view name) { return described.options(std::string(name)); };
    commands.vocabulary.symbols = [&](std::string_view prefix) { return names.symbols(prefix); };
    commands.vocabulary.types = [&](std::string_view prefix) { return names.types(prefix); };
    commands.vocabulary.members = [&](std::string_view type) { return names.members(type); };
    if (lines->empty() && isatty(STDIN_FILENO) && isatty(STDOUT_FILENO))
      return run_shell_on_terminal(commands, [&] { return greeting(session); });
    return run_shell_script(commands, *lines);
  });
}

}  // namespace kdk
