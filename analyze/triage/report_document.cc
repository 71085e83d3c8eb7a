#include "analyze/triage/report_document.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/log.h"

namespace kdk::document {

using nlohmann::json;

json parse(const std::string& text_of_file, const std::string& name) {
  json report = json::parse(text_of_file, nullptr, false);
  if (report.is_discarded()) throw Error(Errc::format, fmt::format("{}: not valid JSON", name));
  if (text(at(report, {"schema", "id"})) != "kdumpkit/report") {
    throw Error(Errc::format, fmt::format("{}: no report of kdump-analyze (schema kdumpkit/report)", name));
  }
  if (std::string version = text(at(report, {"schema", "version"})); !version.starts_with("1.")) {
    throw Error(Errc::unsupported,
                fmt::format("{}: a report of version \"{}\"; this program reads 1.x", name, version));
  }
  return report;
}

const json& at(const json& document, std::initializer_list<std::string_view> path) {
  static const json absent;
  const json* here = &document;
  for (std::string_view key : path) {
    if (!here->is_object()) return absent;
    const auto found = here->find(std::string(key));
    if (found == here->end()) return absent;
    here = &*found;
  }
  return *here;
}

std::string text(const json& value, std::string_view keep) {
  return value.is_string() ? escape_untrusted(value.get_ref<const std::string&>(), keep) : std::string();
}

bool redacted(const json& report) {
  const std::string level = text(at(report, {"redaction", "level"}));
  return !level.empty() && level != "none";
}

}  // namespace kdk::document
