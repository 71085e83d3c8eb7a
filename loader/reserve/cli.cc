#include "loader/reserve/cli.h"

#include <fmt/ranges.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <memory>

#include "core/base/cli.h"
#include "core/base/log.h"
#include "loader/plan/checks.h"
#include "loader/reserve/boot_change.h"
#include "loader/reserve/report.h"
#include "loader/reserve/text_diff.h"

namespace kdk {
namespace {

struct ReserveOptions {
  RecommendInputs inputs;
  std::string extra;
  std::string shrink;
  std::optional<std::string> apply;  // empty: what is recommended
  bool undo = false;
  bool yes = false;
  bool run = false;
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

// "512M,high 64M,low", each with or without its "crashkernel=", as the kernel shall be told. Throws
// Error{format} for what it would not take.
std::string checked_options(const SysRoot& root, const std::string& text) {
  std::string options;
  for (const std::string& word : split_command_line(text)) {
    std::string_view value = word;
    if (value.starts_with("crashkernel=")) value.remove_prefix(std::string_view("crashkernel=").size());
    parse_crashkernel_value(value, crashkernel_kind(value), std::nullopt);
    options += fmt::format("{}crashkernel={}", options.empty() ? "" : " ", value);
  }
  uint64_t ram = UINT64_MAX;
  if (root.exists("/proc/iomem")) ram = total_size(read_memory_map(root).system_ram());
  CrashkernelDecision decision = decide_crashkernel(options, ram, false);
  if (!decision.request)
    throw Error(Errc::format, "with " + options + " nothing would be reserved: " + decision.problem);
  return options;
}

std::string recommended_options(const SysRoot& root, const ReserveOptions& options) {
  Machine machine = read_machine(root);
  return recommend(root, machine, read_reservation(root, machine), options.inputs).crashkernel;
}

// Nobody to ask, or "no": nothing is done.
bool confirmed(const ReserveOptions& options) {
  if (options.yes) return true;
  if (::isatty(STDIN_FILENO) == 0) {
    log_error("nothing was changed: --yes does it");
    return false;
  }
  std::fputs("Do it? [y/N] ", stdout);
  std::fflush(stdout);
  int answer = std::getchar();
  return answer == 'y' || answer == 'Y';
}

// What has to run before the reboot: run, or named.
void finish_boot_change(const ReserveOptions& options, const SysRoot& root) {
  for (const std::string& command : boot_commands(root)) {
    if (!options.run) {
      std::printf("now run: %s\n", command.c_str());
      continue;
    }
    std::fflush(stdout);
    int status = std::system(command.c_str());  // a fixed text of ours, never a file's
    if (status != 0)
      throw Error(Errc::io, command + " failed").with_hint("the files are changed; run it again, or --undo");
  }
  std::puts("it counts from the next boot on");
}

int run_apply(const ReserveOptions& options) {
  SysRoot root(options.sysroot);
  std::string wanted =
      options.apply->empty() ? recommended_options(root, options) : checked_options(root, *options.apply);
  BootFiles files = edit_boot_files(root, wanted);
  std::string diff;
  for (const FileEdit& edit : files.edits) {
    diff +=
        unified_diff(edit.before ? edit.path : "/dev/null", edit.before.value_or(""), edit.path, edit.after);
  }
  std::string text = escape_untrusted(diff, "\n\t");
  std::fwrite(text.data(), 1, text.size(), stdout);
  for (const std::string& note : files.notes) std::printf("note: %s\n", escape_untrusted(note).c_str());
  if (files.edits.empty()) {
    std::printf("nothing to change: %s is there already\n", wanted.c_str());
    return exit_done;
  }
  if (!confirmed(options)) return exit_partial;
  write_boot_files(root, files.edits);
  std::printf("changed for %s; kdump-load reserve --undo takes it back\n",
              fmt::format("{}", fmt::join(files.found, ", ")).c_str());
  finish_boot_change(options, root);
  return exit_done;
}

int run_undo(const ReserveOptions& options) {
  SysRoot root(options.sysroot);
  std::vector<FileRestore> restores = read_last_change(root);
  std::string diff;
  for (const FileRestore& restore : restores) {
    diff += unified_diff(restore.path, restore.before, restore.after ? restore.path : "/dev/null",
                         restore.after.value_or(""));
  }
  std::string text = escape_untrusted(diff, "\n\t");
  std::fwrite(text.data(), 1, text.size(), stdout);
  if (!confirmed(options)) return exit_partial;
  undo_last_change(root, restores);
  std::puts("all files are as they were");
  finish_boot_change(options, root);
  return exit_done;
}

int run_reserve(ReserveOptions options) {
  if (options.run && !SysRoot(options.sysroot).is_live())
    throw Error(Errc::unsupported, "--run is for the running machine, not for --sysroot");
  if (!options.extra.empty()) options.inputs.extra = parse_memory_size(options.extra);
  if (options.undo) return run_undo(options);
  if (options.apply) return run_apply(options);
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
  CLI::Option* initrd =
      command->add_option("--initrd,--ramdisk", options->inputs.initrd, "Its initramfs (default: likewise)");
  command
      ->add_flag("--uki-initrd", options->inputs.uki_initrd,
                 "The initramfs is that of the unified kernel image which the kernel is")
      ->excludes(initrd);
  command->add_option("--append", options->inputs.append,
                      "Options for its command line; nr_cpus=, root= and rootfstype= count");
  command
      ->add_option("--extra", options->extra,
                   "More that it needs: for LUKS2 (the memory argon2 was set up with), for hungry drivers")
      ->type_name("SIZE")
      ->check(check_size);
  CLI::Option* shrink = command->add_option(
      "--shrink", options->shrink,
      "Give what is reserved beyond SIZE back to the running kernel, until the next boot");
  shrink->type_name("SIZE")->check(check_size);
  CLI::Option* apply = command->add_option_function<std::string>(
      "--apply", [options](const std::string& value) { options->apply = value; },
      "Put crashkernel= into the boot loader's files: VALUE (\"512M\", \"512M,high 64M,low\"), or what is "
      "recommended. Shows the difference and asks first");
  apply->type_name("[VALUE]")->expected(0, 1);
  CLI::Option* undo = command->add_flag("--undo", options->undo, "Take the last --apply back");
  command->add_flag("--yes", options->yes, "Do not ask");
  command->add_flag("--run", options->run,
                    "Also run what the boot loader needs after the change (update-grub)");
  CLI::Option* json = command->add_flag("--json", options->json, "Print JSON (schemas/load-reserve)");
  for (CLI::Option* action : {shrink, apply, undo}) {
    for (CLI::Option* other : {shrink, apply, undo, json}) {
      if (action != other) action->excludes(other);
    }
  }
  command
      ->add_option("--sysroot", options->sysroot,
                   "Use /proc, /sys, /run, /boot and /etc below DIR: another machine")
      ->type_name("DIR");
  command->callback([options, &chosen] { chosen = [options] { return run_reserve(*options); }; });
}

}  // namespace kdk
