#include "capture/estimate_cli.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "capture/argument.h"
#include "capture/stop.h"
#include "core/base/cli.h"
#include "core/base/log.h"

namespace kdk {

int run_estimate(const EstimateOptions& options, bool json) {
  stop_on_signals();
  const Estimate estimate = estimate_dump(options, stop_requested);
  std::fputs((json ? estimate_json(estimate) : estimate_text(estimate)).c_str(), stdout);
  for (const std::string& note : estimate.notes) log_info("{}", note);
  bool fits = true;
  for (const Estimate::Target& target : estimate.targets) {
    if (target.fits().value_or(true)) continue;
    log_warning("{}: has no room for a dump of level {}", target.room.target, target.level);
    fits = false;
  }
  return fits ? exit_done : exit_partial;
}

void add_estimate_command(CLI::App& app, std::function<int()>& chosen) {
  struct Arguments {
    EstimateOptions options;
    std::string levels = "1,17,31", config;
    std::vector<std::filesystem::path> inputs;
    bool json = false;
  };
  auto a = std::make_shared<Arguments>();
  CLI::App* estimate =
      app.add_subcommand("estimate", "Say how large dumps of this machine would be, and whether they fit");
  estimate->footer(
      "INPUT is the memory of the running kernel (/proc/kcore) unless another dump is given.\n"
      "Exit status: 0 done; 1 failed; 2 usage; 3 a target of the configuration has not enough room.");
  estimate->add_option("INPUT", a->inputs, "The memory to look at")->type_name("FILE");
  estimate->add_option("-d,--level", a->levels, "Levels to estimate, as 1,17,31")
      ->check([](const std::string& text) {
        return parse_levels(text).empty() ? std::string("use numbers from 0 to 31, with commas between them")
                                          : std::string();
      })
      ->capture_default_str();
  estimate
      ->add_option("--config", a->config, "Also say whether each target of this configuration has the room")
      ->type_name("FILE");
  estimate->add_option("--vmcoreinfo", a->options.vmcoreinfo, "Use this VMCOREINFO, a text or a note")
      ->type_name("FILE");
  estimate->add_flag("--json", a->json, "As JSON (schemas/capture-estimate)");
  estimate->callback([a, &chosen] {
    a->options.levels = parse_levels(a->levels);
    if (!a->inputs.empty()) a->options.inputs = a->inputs;
    if (!a->config.empty()) a->options.config = a->config;
    chosen = [a] { return run_estimate(a->options, a->json); };
  });
}

}  // namespace kdk
