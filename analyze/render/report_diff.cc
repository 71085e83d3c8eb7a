// `diff`: text and JSON (schemas/analyze-diff.schema.json).
#include "analyze/render/report_diff.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "analyze/render/json_parts.h"
#include "analyze/render/text_parts.h"

namespace kdk {
namespace {

using nlohmann::ordered_json;

std::string side_line(std::string_view label, const ReportDiff::Side& side) {
  return text::wrap(
      fmt::format("{}  ", label),
      fmt::format("{}: {}, {}, {}", side.name, text::or_unknown(side.title), text::or_unknown(side.release),
                  side.time.empty() ? "time unknown" : side.time),
      "   ");
}

std::string verdict(const std::string& same) {
  if (same == "exact") return "The same bug: same functions, same offsets, same kernel binary.";
  if (same == "family") return "The same bug, as far as class and functions tell.";
  if (same == "no") return "Not the same bug, as far as class and functions tell.";
  return "Whether it is the same bug is not known: a report has no signature.";
}

std::string side_of(char mark, const std::string& what, const std::string& value, bool unknown) {
  if (value.empty() && !unknown) return {};
  return text::wrap(fmt::format("{} {} ", mark, what), unknown ? "unknown" : value, "    ");
}

ordered_json side_json(const ReportDiff::Side& side) {
  return {{"name", side.name},
          {"title", json::text(side.title)},
          {"release", json::text(side.release)},
          {"time", json::text(side.time)}};
}

}  // namespace

std::string to_text(const ReportDiff& diff) {
  std::string out = side_line("A", diff.a) + side_line("B", diff.b) + '\n' + verdict(diff.same_bug) + '\n';
  if (diff.changes.empty()) return out + "No other difference that matters.\n";
  std::string section;
  for (const ReportChange& change : diff.changes) {
    if (change.section != section) out += text::heading(section = change.section);
    out += side_of('-', change.what, change.a, change.a_unknown);
    out += side_of('+', change.what, change.b, change.b_unknown);
  }
  return out;
}

std::string to_json_text(const ReportDiff& diff) {
  ordered_json out = json::header("analyze-diff");
  out["a"] = side_json(diff.a);
  out["b"] = side_json(diff.b);
  out["same_bug"] = diff.same_bug;
  ordered_json changes = ordered_json::array();
  for (const ReportChange& change : diff.changes) {
    ordered_json unknown = ordered_json::array();
    if (change.a_unknown) unknown.push_back("a");
    if (change.b_unknown) unknown.push_back("b");
    changes.push_back({{"section", change.section},
                       {"what", change.what},
                       {"a", json::text(change.a)},
                       {"b", json::text(change.b)},
                       {"unknown", std::move(unknown)}});
  }
  out["changes"] = std::move(changes);
  return json::dump(out);
}

}  // namespace kdk
