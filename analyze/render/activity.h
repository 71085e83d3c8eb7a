// The report's part on what was going on: text, JSON, HTML.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include <string>

#include "analyze/triage/activity.h"

namespace kdk {

namespace text {
// Sections with their headings; "" where nothing waited.
std::string activity(const Activity& activity);
}  // namespace text
namespace json {
nlohmann::ordered_json activity(const Activity& activity);
}
namespace html {
std::string activity(const Activity& activity);
}

}  // namespace kdk
