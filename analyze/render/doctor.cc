// `doctor`: text and JSON (schemas/analyze-doctor.schema.json).
#include "analyze/render/doctor.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "analyze/render/json_parts.h"
#include "analyze/render/text_parts.h"

namespace kdk {

using nlohmann::ordered_json;

std::string to_text(const Answer<Doctor>& answer) {
  std::string out;
  const std::string indent(30, ' ');
  for (const Checkup& check : answer.facts.checks) {
    out += text::wrap(fmt::format("{:<8}  {:<19} ", check.state, check.name), check.detail, indent);
    if (!check.need.empty()) out += text::wrap(indent + "would help: ", check.need, indent + "  ");
    for (const std::string& place : check.looked) out += fmt::format("{}looked at {}\n", indent, place);
  }
  return out;
}

std::string to_json_text(const Answer<Doctor>& answer) {
  ordered_json out = json::envelope("analyze-doctor", answer.input, answer.limits);
  out["evidence"] = json::evidence(answer.evidence);
  out["distribution"] = json::text(answer.facts.distribution);
  out["good"] = answer.facts.good();
  ordered_json checks = ordered_json::array();
  for (const Checkup& check : answer.facts.checks) {
    checks.push_back({{"name", check.name},
                      {"state", check.state},
                      {"detail", check.detail},
                      {"need", json::text(check.need)},
                      {"looked", check.looked}});
  }
  out["checks"] = std::move(checks);
  out["limits"] = json::limits(answer.limits);
  return json::dump(out);
}

}  // namespace kdk
