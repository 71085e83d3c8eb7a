// kdump-analyze: explains a crash dump. Parse, open, answer, print.
#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "analyze/commands/commands.h"
#include "core/base/cli.h"

namespace {

using namespace kdk;

int run(int argc, char** argv) {
  CLI::App app(
      "Explains a Linux crash dump: ELF vmcore, kdump-compressed, flattened or split.\n"
      "Exit codes: 0 done, 1 failed, 2 usage, 3 done in part.");
  app.name("kdump-analyze");
  app.set_version_flag("--version", fmt::format("kdump-analyze {}", KDK_VERSION));
  app.require_subcommand(1);
  Program program{app};
  add_dump_commands(program);
  add_shell(program);
  for (auto add : {add_triage, add_diff}) add(program);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? exit_done : exit_usage;
  }
  return program.chosen();
}

}  // namespace

int main(int argc, char** argv) {
  return kdk::run_main("kdump-analyze", [&] { return run(argc, argv); });
}
