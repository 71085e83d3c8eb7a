// `diff`: text and JSON. As render.h.
#pragma once

#include <string>

#include "analyze/triage/report_diff.h"

namespace kdk {

std::string to_text(const ReportDiff& diff);
std::string to_json_text(const ReportDiff& diff);

}  // namespace kdk
