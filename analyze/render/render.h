// Renderers: text for people, JSON for programs, both from the same model. Deterministic: the same model
// gives the same bytes. The JSON follows schemas/*.schema.json; keys keep their order.
#pragma once

#include <string>

#include "analyze/triage/report.h"

namespace kdk {

std::string to_text(const Report& report);
std::string to_text(const LogReport& report);
std::string to_text(const BacktraceReport& report);
std::string to_text(const SymbolReport& report);
std::string to_text(const InfoReport& report);

// Two-space indented, with a trailing newline.
std::string to_json_text(const Report& report);
std::string to_json_text(const LogReport& report);
std::string to_json_text(const BacktraceReport& report);
std::string to_json_text(const SymbolReport& report);
std::string to_json_text(const InfoReport& report);

}  // namespace kdk
