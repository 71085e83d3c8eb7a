#include "loader/state/request_cli.h"

#include <CLI/CLI.hpp>
#include <map>

namespace kdk {
namespace {

void add_syscall_options(CLI::App& command, RequestOptions& options) {
  using Call = std::optional<LoadCall>;
  const std::map<std::string, Call> calls = {
      {"auto", std::nullopt}, {"file", LoadCall::kexec_file_load}, {"kexec", LoadCall::kexec_load}};
  auto choose = [&options](Call call) {
    options.request.call = call;
    options.call_given = true;
  };
  std::vector<CLI::Option*> choices = {command.add_option_function<std::string>(
      "--syscall", [calls, choose](const std::string& name) { choose(calls.at(name)); },
      "How to load: file (kexec_file_load: the kernel makes the segments and can check a signature), kexec "
      "(kexec_load: kdump-load makes them), auto (the default: the one this machine allows)")};
  choices[0]->type_name("HOW")->check(CLI::IsMember({"auto", "file", "kexec"}));
  // As kexec(8) has them.
  auto add_letter = [&](const std::string& names, const std::string& meaning) {
    Call call = calls.at(meaning);
    CLI::Option* letter = command.add_flag_callback(
        names, [call, choose] { choose(call); }, "The same as --syscall " + meaning);
    for (CLI::Option* other : choices) letter->excludes(other);
    choices.push_back(letter);
  };
  add_letter("-s,--kexec-file-syscall", "file");
  add_letter("-c,--kexec-syscall", "kexec");
  add_letter("-a,--kexec-syscall-auto", "auto");
}

void add_digest_options(CLI::App& command, RequestOptions& options) {
  const std::map<std::string, DigestMode> modes = {
      {"auto", DigestMode::automatic}, {"on", DigestMode::on}, {"off", DigestMode::off}};
  auto choose = [&options](DigestMode mode) {
    options.request.digest = mode;
    options.digest_given = true;
  };
  CLI::Option* digest = command.add_option_function<std::string>(
      "--digest", [modes, choose](const std::string& name) { choose(modes.at(name)); },
      "Compare the loaded memory with its SHA-256 before the crash kernel starts: on, off, auto (the "
      "default: on when that takes less than 0.2 s)");
  digest->type_name("WHEN")->check(CLI::IsMember({"auto", "on", "off"}));
  command
      .add_flag_callback(
          "-i,--no-checks", [choose] { choose(DigestMode::off); }, "The same as --digest off")
      ->excludes(digest);
}

}  // namespace

void add_request_options(CLI::App& command, RequestOptions& options) {
  command.add_option(
      "kernel,--kernel", options.request.kernel,
      "Crash kernel: x86-64 bzImage; arm64 Image, also packed, or vmlinux; either in a unified kernel image");
  auto* initrd =
      command.add_option("--initrd,--ramdisk", options.request.initrd, "Initramfs of the crash kernel");
  command
      .add_flag("--uki-initrd", options.request.uki_initrd,
                "Take the initramfs of the unified kernel image that the kernel is")
      ->excludes(initrd);
  command.add_option("--dtb", options.request.dtb,
                     "Device tree to start from, instead of the running machine's (arm64)");
  auto* given =
      command.add_option("--command-line", options.request.command_line, "Command line of the crash kernel");
  auto* reuse =
      command.add_flag("--reuse-command-line,--reuse-cmdline", options.reuse_command_line,
                       "Start from the running kernel's, without what harms a crash kernel (the default)");
  given->excludes(reuse);
  command
      .add_flag("--uki-command-line", options.request.uki_command_line,
                "Start from the command line of the unified kernel image that the kernel is, without what "
                "harms a crash kernel")
      ->excludes(given)
      ->excludes(reuse);
  command.add_option("--append", options.request.append, "Options put behind the command line");
  command.add_flag("!--no-crash-defaults", options.request.add_defaults,
                   "Do not add reset_devices, nr_cpus=1, panic=10 and what else the architecture wants");
  add_syscall_options(command, options);
  add_digest_options(command, options);
}

}  // namespace kdk
