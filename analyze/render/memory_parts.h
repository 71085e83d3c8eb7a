// The kernel's memory counters, zones and huge pages: a section of the report, and what `mem` shows first.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include <string>

#include "analyze/inspect/memory.h"

namespace kdk {

namespace text {
std::string memory(const MemorySummary& summary);
}
namespace json {
nlohmann::ordered_json memory(const MemorySummary& summary);
}

}  // namespace kdk
