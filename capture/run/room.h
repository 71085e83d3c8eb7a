// How much room a target of the configuration has, as far as that can be told in the running system.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "capture/run/run_config.h"

namespace kdk {

struct TargetRoom {
  std::string target;                 // for people
  std::optional<uint64_t> available;  // bytes for this program's user; nullopt: not known
  std::string why_unknown;
};

// Never throws.
TargetRoom target_room(const RunTarget& target);

}  // namespace kdk
