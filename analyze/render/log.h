// `log` with a view. As render.h.
#pragma once

#include <string>

#include "analyze/inspect/log_view.h"
#include "analyze/triage/report.h"

namespace kdk {

struct ShownLog {
  LogReport report;  // its records are those chosen
  LogView view;
  std::optional<uint64_t> boot_ns;  // for wall-clock times
  std::vector<Limit> limits;        // the report's
};

std::string to_text(const ShownLog& log);
std::string to_json_text(const ShownLog& log);

}  // namespace kdk
