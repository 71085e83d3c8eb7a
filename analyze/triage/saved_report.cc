// What the table of many crashes takes from a report.json of an earlier day.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "analyze/triage/collection.h"
#include "analyze/triage/function_name.h"
#include "analyze/triage/report_document.h"
#include "core/base/log.h"

namespace kdk {
namespace {

using document::at;
using nlohmann::json;
using Path = std::initializer_list<std::string_view>;

std::string text(const json& report, Path path, std::string_view keep = {}) {
  return document::text(at(report, path), keep);
}

std::string sha256(const json& document, Path path) {
  std::string value = text(document, path);
  bool valid = value.size() == 64 && value.find_first_not_of("0123456789abcdef") == value.npos;
  return valid ? value : std::string();
}

}  // namespace

CrashBrief read_saved_report(const std::string& document_text, const std::string& name) {
  const json report = document::parse(document_text, name);
  CrashBrief brief;
  brief.saved_report = true;
  brief.files = {escape_untrusted(name)};
  brief.partial = text(report, {"status"}) == "partial";
  brief.crash_class = text(report, {"summary", "class"});
  brief.title = text(report, {"summary", "title"});
  brief.panic_message = text(report, {"summary", "panic_message"});
  // Earlier ones hold the symbol.
  brief.function = source_name(text(report, {"summary", "function"}));
  brief.module = text(report, {"summary", "module"});
  brief.source_file = text(report, {"summary", "file"});
  brief.release = text(report, {"identity", "release"});
  brief.architecture = text(report, {"input", "architecture"});
  if (!document::redacted(report)) brief.hostname = text(report, {"identity", "hostname"});
  auto number = [&](Path path) -> std::optional<uint64_t> {
    const json& value = at(report, path);
    return value.is_number_unsigned() ? std::optional(value.get<uint64_t>()) : std::nullopt;
  };
  brief.crash_time = number({"identity", "crash_time", "epoch_seconds"});
  if (auto line = number({"summary", "line"}); line && *line <= UINT32_MAX)
    brief.line = static_cast<unsigned>(*line);
  brief.uptime_ms = number({"identity", "uptime_ms"});
  brief.family = sha256(report, {"signatures", "family", "sha256"});
  brief.exact = sha256(report, {"signatures", "exact", "sha256"});
  if (!brief.family.empty()) brief.family_text = text(report, {"signatures", "family", "text"}, "\n");
  return brief;
}

}  // namespace kdk
