#include "loader/state/cli.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "core/base/cli.h"
#include "core/base/log.h"
#include "loader/state/reload.h"
#include "loader/state/verify.h"

namespace kdk {
namespace {

struct VerifyOptions {
  std::string sysroot = "/";
  bool json = false;
};

struct ReloadOptions {
  bool if_stale = false;
  double settle_seconds = 0;
  bool verbose = false;
};

int run_verify(const VerifyOptions& options) {
  LoadVerification result = verify_load(SysRoot(options.sysroot));
  std::string text = options.json ? verification_to_json(result) + "\n" : verification_to_text(result);
  std::fwrite(text.data(), 1, text.size(), stdout);
  return result.state == LoadVerification::State::verified ? exit_done : exit_partial;
}

void say(ReloadOutcome outcome) {
  switch (outcome) {
    case ReloadOutcome::reloaded:
      std::puts("armed: crash kernel loaded again");
      break;
    case ReloadOutcome::still_fits:
      std::puts("armed: the loaded crash kernel still fits; nothing done");
      break;
    case ReloadOutcome::not_loaded_by_us:
      std::puts("no load of this boot is recorded; nothing done");
      break;
  }
}

int run_reload(const ReloadOptions& options) {
  if (options.verbose) set_log_level(LogLevel::info);
  SysRoot root;
  Settling settling;
  settling.quiet = std::chrono::milliseconds(static_cast<int64_t>(options.settle_seconds * 1000));
  if (!run_coalesced(root, settling,
                     [&] { say(reload(root, options.if_stale, live_kexec(options.verbose))); })) {
    std::puts("another kdump-load reload is about to run and will do it");
  }
  return exit_done;
}

}  // namespace

void add_verify_command(CLI::App& app, std::function<int()>& chosen) {
  auto options = std::make_shared<VerifyOptions>();
  CLI::App* command = app.add_subcommand(
      "verify", "Would the same load be the same now? Hashes the files and makes the plan again");
  command
      ->add_option("--sysroot", options->sysroot, "Read /proc, /sys and /run below DIR: a recorded machine")
      ->type_name("DIR");
  command->add_flag("--json", options->json, "Print JSON (schemas/load-verify)");
  command->callback([options, &chosen] { chosen = [options] { return run_verify(*options); }; });
}

void add_reload_command(CLI::App& app, std::function<int()>& chosen) {
  auto options = std::make_shared<ReloadOptions>();
  CLI::App* command = app.add_subcommand("reload", "Load again with the files and options of the last load");
  command->add_flag("--if-stale", options->if_stale, "Only if `verify` does not find everything as loaded");
  command
      ->add_option("--settle", options->settle_seconds,
                   "First wait until nobody asked for a reload for SECONDS (at most a minute in all)")
      ->type_name("SECONDS")
      ->check(CLI::Range(0.0, 60.0));
  command->add_flag("-v,--verbose", options->verbose, "Print more");
  command->callback([options, &chosen] { chosen = [options] { return run_reload(*options); }; });
}

}  // namespace kdk
