// The two pictures of the HTML report, drawn with plain elements so that they print, scale and can be read
// out.
#pragma once

#include <string>

#include "analyze/triage/report.h"

namespace kdk::html {

// RAM by class as a stacked bar with a legend table; "" when the total or every part is unknown.
std::string memory_bar(const MemorySummary& memory);

// When each CPU or task logged in the last seconds before the end; "" with fewer than two records. `tasks`
// names the callers and may be nullptr.
std::string log_timeline(const LogFacts& log, const TaskList* tasks);

}  // namespace kdk::html
