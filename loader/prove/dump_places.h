// Where dumps of this machine go, as far as directories of this machine are concerned: the targets of
// /etc/kdumpkit.toml.
#pragma once

#include <string>
#include <vector>

#include "core/base/file.h"

namespace kdk {

struct DumpPlaces {
  std::vector<std::string> directories;  // absolute, below the root
  std::vector<std::string> notes;        // targets that cannot be looked at, and what to do
};

// A configuration that cannot be read is a note. What the keys mean is in capture/run/run_config.h.
DumpPlaces find_dump_places(const SysRoot& root);

}  // namespace kdk
