#include "capture/run/cli.h"

#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <thread>

#include "capture/crypt/keys.h"
#include "capture/import/import_config.h"
#include "capture/run/machine.h"
#include "capture/run/raw_place.h"
#include "capture/run/run.h"
#include "capture/scrub/rules.h"
#include "capture/stop.h"
#include "core/base/cli.h"
#include "core/base/log.h"

namespace kdk {
namespace {

constexpr const char* default_config = "/etc/kdumpkit.toml";

void add_run(CLI::App& app, std::function<int()>& chosen) {
  auto options = std::make_shared<RunCommand>();
  auto action = std::make_shared<std::string>();
  CLI::App* run = app.add_subcommand("run", "In the crash kernel: save the dump as the configuration says");
  run->footer(
      "Tries the targets in their order until one has the dump: log first, then a summary, then the dump. At "
      "the end does the final action (reboot, unless configured otherwise), but only in a crash kernel, or "
      "when --final-action asks for it.\n"
      "Exit status, where there is one: 0 saved, 1 nothing saved, 2 usage, 3 saved in part.");
  run->add_option("--config", options->config, "The configuration")->type_name("FILE")->capture_default_str();
  run->add_option("--input", options->input.dump, "The dump")->type_name("FILE")->capture_default_str();
  run->add_option("--vmcoreinfo", options->input.vmcoreinfo, "Use this VMCOREINFO, a text or a note")
      ->type_name("FILE");
  run->add_option("--final-action", *action,
                  "Instead of the configured one, in any case: none, reboot, poweroff, halt or shell")
      ->check(CLI::IsMember({"none", "reboot", "poweroff", "halt", "shell"}));
  run->callback([options, action, &chosen] {
    if (!action->empty()) options->final_action = parse_final_action(*action);
    chosen = [options] { return run_capture(*options); };
  });
}

int check_config(const std::filesystem::path& file) {
  const RunConfig config = read_run_config(ConfigFile::read(file));
  if (config.scrub) read_scrub_rules(*config.scrub);
  for (const RunTarget& target : config.targets) {
    if (target.encrypt_to) read_public_key(*target.encrypt_to);
  }
  std::string text = fmt::format("{}: good\n", file.string());
  text +=
      fmt::format("level {}, {}, then {} (after a failure: {})\n", fmt::join(config.levels, ", then "),
                  to_string(config.codec), to_string(config.final_action), to_string(config.failure_action));
  for (size_t i = 0; i < config.targets.size(); ++i) {
    text += fmt::format(
        "target {}: {}{}\n", i + 1, config.targets[i].describe(),
        config.targets[i].encrypt_to ? ", sealed to " + config.targets[i].encrypt_to->string() : "");
  }
  std::fputs(text.c_str(), stdout);
  return exit_done;
}

void add_check_config(CLI::App& app, std::function<int()>& chosen) {
  auto file = std::make_shared<std::filesystem::path>(default_config);
  CLI::App* check = app.add_subcommand("check-config", "Say what is wrong with a configuration");
  check->footer("Exit status: 0 good, 1 not.");
  check->add_option("FILE", *file, "The configuration")->capture_default_str();
  check->callback([file, &chosen] { chosen = [file] { return check_config(*file); }; });
}

int import_files(const std::vector<std::filesystem::path>& paths) {
  std::vector<ForeignFile> files;
  for (const auto& path : paths) files.push_back({path.string(), read_text_file(path, 1 << 20)});
  const ImportedConfig imported = import_config(files);
  for (const std::string& note : imported.notes) log_warning("{}", note);
  // What is printed can be used: or it is said now why not.
  (void)read_run_config(ConfigFile::parse(imported.toml, "the imported configuration"));
  std::fputs(imported.toml.c_str(), stdout);
  return imported.notes.empty() ? exit_done : exit_partial;
}

void add_import_config(CLI::App& app, std::function<int()>& chosen) {
  auto files = std::make_shared<std::vector<std::filesystem::path>>();
  CLI::App* command =
      app.add_subcommand("import-config", "Print a configuration made of another kdump's files");
  command->footer(
      "FILE: /etc/kdump.conf, /etc/sysconfig/kdump, /etc/default/kdump-tools; several are put together.\n"
      "Exit status: 0 all of it, 1 failed, 3 in part: what is missing is on stderr and in the comments.");
  command->add_option("FILE", *files, "What to import")->required();
  command->callback([files, &chosen] { chosen = [files] { return import_files(*files); }; });
}

void add_claim(CLI::App& app, std::function<int()>& chosen) {
  auto device = std::make_shared<std::filesystem::path>();
  auto force = std::make_shared<bool>(false);
  CLI::App* claim = app.add_subcommand("claim", "Make a partition a raw target for dumps");
  claim->add_option("DEVICE", *device, "The partition; what it holds is lost")->required();
  claim->add_flag("-f,--force", *force, "Also when it is not blank, or holds a dump nobody fetched");
  claim->callback([device, force, &chosen] {
    chosen = [device, force] {
      claim_raw(*device, *force);
      return static_cast<int>(exit_done);
    };
  });
}

int fetch(const std::filesystem::path& device, const std::filesystem::path& parent, bool clear) {
  stop_on_signals();
  const std::optional<Fetched> fetched = fetch_raw(device, parent, clear, stop_requested);
  if (!fetched) {
    std::fputs(fmt::format("{}: there is no dump\n", device.string()).c_str(), stdout);
    return exit_done;
  }
  for (const std::string& reason : fetched->reasons) log_warning("{}", reason);
  std::fputs((fetched->directory.string() + "\n").c_str(), stdout);
  return fetched->reasons.empty() ? exit_done : exit_partial;
}

void add_fetch(CLI::App& app, std::function<int()>& chosen) {
  auto device = std::make_shared<std::filesystem::path>();
  auto parent = std::make_shared<std::filesystem::path>();
  auto clear = std::make_shared<bool>(false);
  CLI::App* command = app.add_subcommand("fetch", "Get the dump that run left on a raw partition");
  command->footer("Exit status: 0 fetched, or there is none; 1 failed; 3 fetched in part.");
  command->add_option("DEVICE", *device, "The partition")->required();
  command->add_option("DIR", *parent, "Where a new directory for the dump is made")->required();
  command->add_flag("--clear", *clear, "Forget the dump on the partition once it is fetched");
  command->callback([device, parent, clear, &chosen] {
    chosen = [device, parent, clear] { return fetch(*device, *parent, *clear); };
  });
}

}  // namespace

void add_run_commands(CLI::App& app, std::function<int()>& chosen) {
  add_run(app, chosen);
  add_check_config(app, chosen);
  add_import_config(app, chosen);
  add_claim(app, chosen);
  add_fetch(app, chosen);
}

}  // namespace kdk
