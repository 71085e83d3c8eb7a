// Renderers: text and HTML for people, JSON for programs, all from the same model. Deterministic: the same
// model gives the same bytes. The JSON follows schemas/*.schema.json; keys keep their order.
#pragma once

#include <string>

#include "analyze/triage/collection.h"
#include "analyze/triage/report.h"

namespace kdk {

std::string to_text(const Report& report);
std::string to_text(const LogReport& report);
std::string to_text(const BacktraceReport& report);
std::string to_text(const SymbolReport& report);
std::string to_text(const InfoReport& report);
std::string to_text(const Collection& all);

// One self-contained page: no script is needed to read it, nothing is loaded from elsewhere. UTF-8.
std::string to_html(const Report& report);
std::string to_html(const Collection& all);

// Two-space indented, with a trailing newline.
std::string to_json_text(const Report& report);
std::string to_json_text(const LogReport& report);
std::string to_json_text(const BacktraceReport& report);
std::string to_json_text(const SymbolReport& report);
std::string to_json_text(const InfoReport& report);
std::string to_json_text(const Collection& all);

}  // namespace kdk
