// JSON of the single questions: log, bt, sym, info (schemas/analyze-*.schema.json).
#include <nlohmann/json.hpp>

#include "analyze/render/json_parts.h"
#include "analyze/render/render.h"

namespace kdk {

using json::hex;
using json::text;
using nlohmann::ordered_json;

std::string to_json_text(const LogReport& report) {
  ordered_json out = json::envelope("analyze-log", report.input, report.limits);
  ordered_json records = ordered_json::array();
  for (const LogRecord& record : report.log.records) records.push_back(json::log_record(record));
  out["source"] = text(report.log.source);
  out["records"] = std::move(records);
  out["limits"] = json::limits(report.limits);
  return json::dump(out);
}

std::string to_json_text(const BacktraceReport& report) {
  ordered_json out = json::envelope("analyze-bt", report.input, report.limits);
  out["evidence"] = json::evidence(report.evidence);
  out["all_cpus"] = report.all_cpus;
  ordered_json crash = nullptr;
  if (report.crash && report.arch != nullptr) crash = to_json(*report.crash, *report.arch);
  out["crash"] = std::move(crash);
  if (report.with_variables) {
    ordered_json variables = ordered_json::array();
    for (const auto& of_cpu : report.variables) variables.push_back(json::variables(of_cpu));
    out["variables"] = std::move(variables);
  }
  out["limits"] = json::limits(report.limits);
  return json::dump(out);
}

std::string to_json_text(const SymbolReport& report) {
  ordered_json out = json::envelope("analyze-sym", report.input, report.limits);
  out["evidence"] = json::evidence(report.evidence);
  ordered_json answers = ordered_json::array();
  for (const SymbolAnswer& answer : report.answers) {
    ordered_json matches = ordered_json::array();
    for (const SymbolAnswer::Match& match : answer.matches) {
      ordered_json inlines = ordered_json::array();
      for (const InlineFrame& inlined : match.inlines) {
        inlines.push_back({{"function", inlined.function},
                           {"file", text(inlined.file)},
                           {"line", inlined.line != 0 ? ordered_json(inlined.line) : ordered_json(nullptr)}});
      }
      ordered_json item;
      item["address"] = hex(match.address);
      item["symbol"] = match.symbol;
      item["symbol_offset"] = json::integer(match.offset);
      item["symbol_size"] = match.size != 0 ? json::integer(match.size) : ordered_json(nullptr);
      item["type"] = std::string(1, match.type);
      item["module"] = text(match.module);
      item["file"] = text(match.file);
      item["line"] = match.line != 0 ? ordered_json(match.line) : ordered_json(nullptr);
      item["inlines"] = std::move(inlines);
      matches.push_back(std::move(item));
    }
    answers.push_back({{"query", answer.query}, {"matches", std::move(matches)}});
  }
  out["answers"] = std::move(answers);
  out["limits"] = json::limits(report.limits);
  return json::dump(out);
}

std::string to_json_text(const InfoReport& report) {
  ordered_json out = json::envelope("analyze-info", report.input, report.limits);
  out["identity"] = json::identity(report.identity);
  out["limits"] = json::limits(report.limits);
  return json::dump(out);
}

}  // namespace kdk
