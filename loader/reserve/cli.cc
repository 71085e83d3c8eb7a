#include "loader/reserve/cli.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "core/base/cli.h"
#include "loader/plan/checks.h"
#include "loader/reserve/report.h"

namespace kdk {
namespace {

struct ReserveOptions {
  RecommendInputs inputs;
  std::string extra;
  std::string shrink;
  std::string sysroot = "/";
  bool json = false;
};

int run_report(const ReserveOptions& options) {
  SysRoot root(options.sysroot);
  Machine machine = read_machine(root);
  ReserveReport report{machine.architecture->name, read_reservation(root, machine), {}, ""};
  try {
    report.recommendation = recommend(root, machine, report.reservation, options.inputs);
  } catch (const Error& e) {
    report.no_recommendation = e.message() + (e.hint().empty() ? "" : "; " + e.hint());
  }
  std::string text = options.json ? reserve_to_json(report) + "\n" : reserve_to_text(report);
  std::fwrite(text.data(), 1, text.size(), stdout);
  bool good = report.recommendation && report.recommendation->enough;
  return good ? exit_done : exit_partial;
}

int run_shrink(const ReserveOptions& options) {
  uint64_t left = shrink_reservation(SysRoot(options.sysroot), parse_memory_size(options.shrink));
  std::printf("%s stay reserved until the next boot\n", mib(left).c_str());
  return exit_done;
}

int run_reserve(ReserveOptions options) {
  if (!options.extra.empty()) options.inputs.extra = parse_memory_size(options.extra);
  return options.shrink.empty() ? run_report(options) : run_shrink(options);
}

// As an option's value is refused: before anything is read.
std::string check_size(const std::string& text) {
  try {
    parse_memory_size(text);
    return "";
  } catch (const Error& e) {
    return e.message();
  }
}

}  // namespace

void add_reserve_command(CLI::App& app, std::function<int()>& chosen) {
  auto options = std::make_shared<ReserveOptions>();
  CLI::App* command = app.add_subcommand(
      "reserve", "How much memory is reserved for a crash kernel, and how much this machine should reserve");
  command->footer(
      "Exit codes: 0 enough is reserved (or: done as asked), 1 failed, 2 usage, 3 too little, or how much is "
      "needed could not be found out.\nSIZE: a number as on the kernel command line: 256M, 1G, 0x10000000.");
  command->add_option(
      "--kernel", options->inputs.kernel,
      "Crash kernel to judge by (default: the loaded one, else the running kernel's file in /boot)");
  command->add_option("--initrd,--ramdisk", options->inputs.initrd, "Its initramfs (default: likewise)");
  command->add_option("--append", options->inputs.append,
                      "Options for its command line; nr_cpus=, root= and rootfstype= count");
  command
      ->add_option("--extra", options->extra,
                   "More that it needs: for LUKS2 (the memory argon2 was set up with), for hungry drivers")
      ->type_name("SIZE")
      ->check(check_size);
  command
      ->add_option("--shrink", options->shrink,
                   "Give what is reserved beyond SIZE back to the running kernel, until the next boot")
      ->type_name("SIZE")
      ->check(check_size);
  command
      ->add_option("--sysroot", options->sysroot,
                   "Read /proc, /sys, /boot and /run below DIR: a recorded machine")
      ->type_name("DIR");
  command->add_flag("--json", options->json, "Print JSON (schemas/load-reserve)");
  command->callback([options, &chosen] { chosen = [options] { return run_reserve(*options); }; });
}

}  // namespace kdk
