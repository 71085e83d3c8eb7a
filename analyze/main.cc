// kdump-analyze: explains a crash dump. Parse, open, answer, print.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <functional>

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
  std::function<int()> chosen;
  for (auto add : {add_report, add_log, add_backtrace,
                   // tasks and modules
                   add_ps, add_locks, add_runq, add_timer, add_workqueue, add_wait, add_modules, add_symbols,
                   // devices, files, network
                   add_irq, add_dev, add_files, add_mount, add_net,
                   // memory and types
                   add_read, add_vtop, add_search, add_mem, add_dis, add_struct, add_print,
                   // the dump itself, and many
                   add_sys, add_config, add_info, add_doctor, add_triage, add_diff})
    add(app, chosen);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? exit_done : exit_usage;
  }
  return chosen();
}

}  // namespace

int main(int argc, char** argv) {
  return kdk::run_main("kdump-analyze", [&] { return run(argc, argv); });
}
