// A report.json of an earlier day, as far as the table of many crashes needs it. Whoever wrote it: every
// member is checked, and text is escaped again.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "analyze/triage/collection.h"
#include "core/base/error.h"
#include "core/base/log.h"

namespace kdk {
namespace {

using nlohmann::json;

// The member at `path`, or null.
const json& at(const json& document, std::initializer_list<const char*> path) {
  static const json absent;
  const json* here = &document;
  for (const char* key : path) {
    if (!here->is_object()) return absent;
    auto found = here->find(key);
    if (found == here->end()) return absent;
    here = &*found;
  }
  return *here;
}

std::string text(const json& document, std::initializer_list<const char*> path, std::string_view keep = {}) {
  const json& value = at(document, path);
  return value.is_string() ? escape_untrusted(value.get_ref<const std::string&>(), keep) : std::string();
}

std::string sha256(const json& document, std::initializer_list<const char*> path) {
  std::string value = text(document, path);
  bool valid = value.size() == 64 && value.find_first_not_of("0123456789abcdef") == value.npos;
  return valid ? value : std::string();
}

}  // namespace

CrashBrief read_saved_report(const std::string& document, const std::string& name) {
  json report = json::parse(document, nullptr, false);
  if (report.is_discarded()) throw Error(Errc::format, fmt::format("{}: not valid JSON", name));
  if (text(report, {"schema", "id"}) != "kdumpkit/report") {
    throw Error(Errc::format, fmt::format("{}: no report of kdump-analyze (schema kdumpkit/report)", name));
  }
  if (std::string version = text(report, {"schema", "version"}); version.substr(0, 2) != "1.") {
    throw Error(Errc::unsupported,
                fmt::format("{}: a report of version \"{}\"; this program reads 1.x", name, version));
  }
  CrashBrief brief;
  brief.saved_report = true;
  brief.files = {escape_untrusted(name)};
  brief.partial = text(report, {"status"}) == "partial";
  brief.crash_class = text(report, {"summary", "class"});
  brief.title = text(report, {"summary", "title"});
  brief.panic_message = text(report, {"summary", "panic_message"});
  brief.function = text(report, {"summary", "function"});
  brief.module = text(report, {"summary", "module"});
  brief.source_file = text(report, {"summary", "file"});
  brief.release = text(report, {"identity", "release"});
  brief.architecture = text(report, {"input", "architecture"});
  // "host-1" in two redacted reports need not be one machine.
  const std::string redacted = text(report, {"redaction", "level"});
  if (redacted.empty() || redacted == "none") brief.hostname = text(report, {"identity", "hostname"});
  auto number = [&](std::initializer_list<const char*> path) -> std::optional<uint64_t> {
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
