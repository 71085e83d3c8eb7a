#include "loader/prove/cli.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <memory>

#include "core/base/cli.h"
#include "core/base/log.h"
#include "loader/prove/crash_test.h"
#include "loader/prove/prove.h"
#include "loader/state/kept_files.h"
#include "loader/state/request_cli.h"
#include "loader/state/verify.h"

namespace kdk {
namespace {

struct TestOptions : RequestOptions {
  ProveOptions prove;
  unsigned timeout = 300;
  std::string output;
  std::string sysroot = "/";
  bool json = false;
  bool verbose = false;
  bool crash = false;
  bool yes = false;  // crash without asking
  std::vector<std::string> dump_directories;
};

// A damaged one is as good as none.
std::optional<CrashTest> read_crash_test_or_none(const SysRoot& root) {
  try {
    return read_crash_test(root);
  } catch (const Error& e) {
    log_warning("{}", e.message());
    return std::nullopt;
  }
}

// What is asked for, or what is loaded.
LoadRequest find_request(const SysRoot& root, TestOptions& options) {
  if (!options.request.kernel.empty()) return options.request;
  std::optional<LoadRecord> record = read_record(root);
  if (!record || !record->request) {
    throw Error(Errc::missing, "no load of this boot is recorded")
        .with_hint("say what to try: kdump-load test --kernel F --initrd F");
  }
  options.prove.already_loaded = true;
  return find_recorded_files(root, *record);
}

int exit_code(ProveResult::Verdict verdict) {
  switch (verdict) {
    case ProveResult::Verdict::reached:
      return exit_done;
    case ProveResult::Verdict::not_reached:
      return exit_failed;
    case ProveResult::Verdict::not_tried:
      return exit_partial;
  }
  return exit_failed;
}

// The machine's name, typed: nobody does that by mistake.
bool confirmed(const TestOptions& options) {
  if (options.yes) return true;
  if (::isatty(STDIN_FILENO) == 0) {
    log_error("nothing was done: without a terminal, --yes-crash-this-machine is the confirmation");
    return false;
  }
  char name[HOST_NAME_MAX + 1] = {};
  if (::gethostname(name, sizeof name - 1) != 0) throw error_from_errno(errno, "gethostname");
  std::printf("Type this machine's name (%s) to crash it: ", name);
  std::fflush(stdout);
  char answer[HOST_NAME_MAX + 2] = {};  // with its newline
  if (std::fgets(answer, sizeof answer, stdin) != nullptr && name[0] != 0 &&
      std::string(answer) == name + std::string("\n"))
    return true;
  log_error("nothing was done");
  return false;
}

void announce(const CrashTest& test) {
  std::string text =
      "This crashes the running kernel, now and for real:\n"
      "  every program stops as at a power failure; what is not on disk is lost\n"
      "  the crash kernel starts, saves the dump and does its final action, as a rule a reboot\n";
  text +=
      fmt::format("  afterwards `kdump-load status` looks for the mark {} in the saved logs\n", test.mark);
  for (const std::string& directory : test.dump_directories)
    text += fmt::format("  and searches {}\n", directory);
  text = escape_untrusted(text, "\n");
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

int run_crash(const TestOptions& options) {
  SysRoot root(options.sysroot);
  if (!root.is_live())
    throw Error(Errc::unsupported, "--crash is for the running machine, not for --sysroot");
  LoadVerification verification = verify_load(root);
  if (verification.state != LoadVerification::State::verified) {
    std::string text = verification_to_text(verification);
    std::fwrite(text.data(), 1, text.size(), stdout);
    throw Error(Errc::unsupported,
                "nothing was done: a crash might be lost, since verify does not say verified")
        .with_hint("kdump-load load or reload first");
  }
  CrashTest test = new_crash_test(root, options.dump_directories);
  announce(test);
  if (!confirmed(options)) return exit_failed;
  std::optional<CrashTest> before = read_crash_test_or_none(root);
  write_crash_test(root, test);
  try {
    crash_now(test);
  } catch (const Error&) {
    // It never happened: what is known of the test before stays known.
    if (before) {
      write_crash_test(root, *before);
    } else {
      remove_crash_test(root);
    }
    throw;
  }
}

int run_test(TestOptions& options) {
  if (options.verbose) set_log_level(LogLevel::info);
  if (options.crash) return run_crash(options);
  SysRoot root(options.sysroot);
  LoadRequest request = find_request(root, options);
  options.prove.deadline = std::chrono::seconds(options.timeout);
  Fd console;
  if (!options.output.empty()) {
    console = Fd::open(options.output, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    options.prove.copy = [&](Bytes text) { write_all(console, text, options.output); };
  }
  ProveResult result = prove(read_machine(root), request, options.prove);
  std::string text = options.json ? prove_to_json(result) + "\n" : prove_to_text(result);
  std::fwrite(text.data(), 1, text.size(), stdout);
  return exit_code(result.verdict);
}

}  // namespace

void add_test_command(CLI::App& app, std::function<int()>& chosen) {
  auto options = std::make_shared<TestOptions>();
  CLI::App* command = app.add_subcommand(
      "test", "Boot the crash kernel in a virtual machine: would the capture program start?");
  command->footer(
      "Without a kernel: what was loaded in this boot. Nothing of this machine is touched, but with --crash: "
      "that "
      "is the real thing, with what is loaded.\n"
      "Exit codes: 0 capture would start, 1 it would not (or: failed), 2 usage, 3 could not be tried.");
  add_request_options(*command, *options);
  command->add_option("--timeout", options->timeout, "Give up after SECONDS")
      ->type_name("SECONDS")
      ->check(CLI::Range(1u, 86400u))
      ->capture_default_str();
  command->add_option("--qemu", options->prove.qemu, "QEMU for the machine's architecture (default: in PATH)")
      ->type_name("PROGRAM");
  command
      ->add_option_function<std::string>(
          "--accel",
          [options](const std::string& how) {
            if (how != "auto") options->prove.use = how == "kvm" ? Acceleration::kvm : Acceleration::tcg;
          },
          "kvm, tcg (emulation), or auto: KVM where it works")
      ->check(CLI::IsMember({"auto", "kvm", "tcg"}));
  command
      ->add_option(
          "--expect", options->prove.expect,
          "A text on the console that shows that capture has started, where it is not kdump-capture's")
      ->type_name("TEXT");
  command->add_option("-o,--output", options->output, "Keep all that the console said")->type_name("FILE");
  command
      ->add_option("--sysroot", options->sysroot, "Read /proc, /sys and /run below DIR: a recorded machine")
      ->type_name("DIR");
  CLI::Option* json = command->add_flag("--json", options->json, "Print JSON (schemas/load-test)");
  CLI::Option* crash =
      command->add_flag("--crash", options->crash,
                        "CRASH THIS MACHINE, after a question; `status` tells later what became of it");
  crash->excludes(json)->excludes(command->get_option("--kernel"));
  command->add_flag("--yes-crash-this-machine", options->yes, "Do not ask")->needs(crash);
  command
      ->add_option("--dump-dir", options->dump_directories,
                   "With --crash: a directory where `status` shall look for the dump, besides the targets of "
                   "/etc/kdumpkit.toml; may be repeated")
      ->type_name("DIR")
      ->check([](const std::string& text) { return text.starts_with('/') ? "" : "an absolute path"; })
      ->expected(1)
      ->needs(crash);
  command->add_flag("-v,--verbose", options->verbose, "Print more");
  command->callback([options, &chosen] { chosen = [options] { return run_test(*options); }; });
}

}  // namespace kdk
