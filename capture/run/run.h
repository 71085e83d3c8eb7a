// `kdump-capture run`: the one command of a crash kernel's initramfs.
#pragma once

#include <filesystem>
#include <optional>

#include "capture/run/run_config.h"
#include "capture/run/try_target.h"

namespace kdk {

struct RunCommand {
  std::filesystem::path config = "/etc/kdumpkit.toml";
  RunInput input;
  std::optional<FinalAction> final_action;
};

// Supervises the tries, then ends the machine as the configuration says. Returns the exit code where the
// machine goes on. Throws Error when the configuration cannot be used.
int run_capture(const RunCommand& command);

}  // namespace kdk
