// kdump-analyze: explains a crash dump. Parse, open, answer, print.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "analyze/commands.h"
#include "analyze/render/render.h"
#include "core/base/cli.h"
#include "core/base/file.h"
#include "core/base/log.h"

namespace {

using namespace kdk;

struct Arguments {
  SessionOptions session;
  std::string one_dump;  // sym: the dump, and further parts of a split set
  std::vector<std::string> parts;
  std::vector<std::string> queries;          // sym
  std::vector<std::filesystem::path> paths;  // triage
  unsigned jobs = 0;                         // triage; 0: as many as there are CPUs, at most 4
  std::string format = "text";
  std::string output;
  bool json = false;
  bool all_cpus = false;
  bool no_debug_info = false;
};

void add_vmcoreinfo(CLI::App& command, Arguments& args) {
  command
      .add_option(
          "--vmcoreinfo", args.session.vmcoreinfo,
          "Use this VMCOREINFO, a text or a note; without it, a dump that has none is searched for it")
      ->type_name("FILE");
}

void add_dump(CLI::App& command, Arguments& args) {
  command.add_option("DUMP", args.session.dump, "The dump; several files are the parts of one split set")
      ->required();
  add_vmcoreinfo(command, args);
}

void add_debug_dir(CLI::App& command, Arguments& args) {
  command
      .add_option("--debug-dir", args.session.search.debug_dirs,
                  "Look for debug information here first (may be repeated)")
      ->type_name("DIR")
      ->allow_extra_args(false);
  command.add_flag("--no-debug-info", args.no_debug_info, "Do not look for a vmlinux");
}

void add_search(CLI::App& command, Arguments& args) {
  command
      .add_option("--vmlinux", args.session.search.vmlinux,
                  "Use this vmlinux; refused when it is another build")
      ->type_name("FILE");
  add_debug_dir(command, args);
}

void add_output(CLI::App& command, Arguments& args) {
  command.add_flag("--json", args.json, "Print JSON (schemas/*.schema.json)");
  command
      .add_option("-o,--output", args.output, "Write to this file, whole or not at all, instead of stdout")
      ->type_name("FILE");
}

void add_format(CLI::App& command, Arguments& args) {
  command.add_option("--format", args.format, "text, json or html")
      ->check(CLI::IsMember({"text", "json", "html"}))
      ->excludes("--json");
}

void emit(const Arguments& args, const std::string& text) {
  if (!args.output.empty()) {
    write_file_atomic(args.output, as_bytes(text));
    return;
  }
  std::fwrite(text.data(), 1, text.size(), stdout);  // run_main reports a failed write
}

// Prints the answer and says on stderr what the text form does not show. Returns the exit code.
template <typename Answer>
int finish(const Arguments& args, const Answer& answer, bool limits_in_text) {
  // Names and messages are escaped where they enter the model; this is the net under that.
  emit(args, args.json ? to_json_text(answer) : escape_untrusted(to_text(answer), "\n\t"));
  if (!limits_in_text && !args.json) {
    for (const Limit& limit : answer.limits) {
      bool matters = limit.damage || limit.path == "/evidence/vmlinux";
      if (matters) log_warning("{}{}", limit.detail, limit.need.empty() ? "" : "; would help: " + limit.need);
    }
  }
  return partial(answer.limits) ? exit_partial : exit_done;
}

int report(Arguments& args) {
  Session session(args.session);
  Report answer = make_report(session);
  if (args.format != "html") return finish(args, answer, true);
  emit(args, to_html(answer));
  return partial(answer.limits) ? exit_partial : exit_done;
}

int log(Arguments& args) {
  Session session(args.session);
  LogReport answer = make_log(session);
  int code = finish(args, answer, false);
  if (!answer.log.records.empty()) return code;
  log_error("no log record could be read");
  return exit_failed;
}

int backtrace(Arguments& args) {
  Session session(args.session);
  BacktraceReport answer = make_backtrace(session, args.all_cpus);
  int code = finish(args, answer, false);
  if (answer.crash && !answer.crash->cpus.empty()) return code;
  log_error("no CPU's registers are in the dump");
  return exit_failed;
}

int symbols(Arguments& args) {
  args.session.dump.emplace_back(args.one_dump);
  for (const std::string& part : args.parts) args.session.dump.emplace_back(part);
  Session session(args.session);
  SymbolReport answer = make_symbols(session, args.queries);
  int code = finish(args, answer, false);
  size_t found = 0;
  for (const SymbolAnswer& item : answer.answers) found += item.matches.empty() ? 0 : 1;
  if (found == 0) return exit_failed;
  return found < args.queries.size() ? exit_partial : code;
}

int info(Arguments& args) {
  Session session(args.session);
  return finish(args, make_info(session), true);
}

int triage(Arguments& args) {
  unsigned threads = args.jobs != 0 ? args.jobs : std::clamp(std::thread::hardware_concurrency(), 1u, 4u);
  Collection all = make_collection(args.paths, args.session, threads);
  emit(args, args.format == "html" ? to_html(all)
             : args.json           ? to_json_text(all)
                                   : escape_untrusted(to_text(all), "\n\t"));
  for (const UnreadableFile& file : all.unreadable) log_warning("{}", file.why);
  if (all.crashes == 0) {
    log_error("no dump or saved report could be read");
    return exit_failed;
  }
  return all.unreadable.empty() ? exit_done : exit_partial;
}

int run(int argc, char** argv) {
  CLI::App app(
      "Explains a Linux crash dump: ELF vmcore, kdump-compressed, flattened or split.\n"
      "Exit codes: 0 done, 1 failed, 2 usage, 3 done in part.");
  app.name("kdump-analyze");
  app.set_version_flag("--version", fmt::format("kdump-analyze {}", KDK_VERSION));
  app.require_subcommand(1);
  Arguments args;
  std::function<int()> body;

  CLI::App* command =
      app.add_subcommand("report", "The whole answer: crash, traces, log, tasks, modules, memory");
  add_dump(*command, args);
  add_search(*command, args);
  add_output(*command, args);
  add_format(*command, args);
  command->callback([&] { body = [&] { return report(args); }; });

  command = app.add_subcommand("log", "The kernel log");
  add_dump(*command, args);
  add_output(*command, args);
  command->callback([&] { body = [&] { return log(args); }; });

  command = app.add_subcommand("bt", "Backtrace of the CPU that crashed");
  add_dump(*command, args);
  command->add_flag("-a,--all", args.all_cpus, "Every CPU");
  add_search(*command, args);
  add_output(*command, args);
  command->callback([&] { body = [&] { return backtrace(args); }; });

  command = app.add_subcommand("sym", "Address to symbol, and symbol to address");
  command->add_option("DUMP", args.one_dump, "The dump")->required()->type_name("FILE");
  add_vmcoreinfo(*command, args);
  command->add_option("QUERY", args.queries, "0x-address, 16 hexadecimal digits, name, or name+0xoffset")
      ->required();
  command->add_option("--part", args.parts, "A further part of a split set (may be repeated)")
      ->type_name("FILE")
      ->allow_extra_args(false);
  add_search(*command, args);
  add_output(*command, args);
  command->callback([&] { body = [&] { return symbols(args); }; });

  command = app.add_subcommand("info", "What the dump is: format, architecture, page size, completeness");
  add_dump(*command, args);
  add_output(*command, args);
  command->callback([&] { body = [&] { return info(args); }; });

  command =
      app.add_subcommand("triage", "Many dumps in one table: which are the same bug, how often, since when");
  command->add_option("PATH", args.paths, "Dumps, earlier report.json files, or directories with such")
      ->required();
  command
      ->add_option("-j,--jobs", args.jobs, "Dumps examined at the same time; default: one per CPU, at most 4")
      ->check(CLI::Range(1u, 256u));
  add_debug_dir(*command, args);
  add_output(*command, args);
  add_format(*command, args);
  command->callback([&] { body = [&] { return triage(args); }; });

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? exit_done : exit_usage;
  }
  if (args.format == "json") args.json = true;
  args.session.use_debug_info = !args.no_debug_info;
  return body();
}

}  // namespace

int main(int argc, char** argv) {
  return kdk::run_main("kdump-analyze", [&] { return run(argc, argv); });
}
