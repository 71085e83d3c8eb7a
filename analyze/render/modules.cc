// `mod`: text and JSON (schemas/analyze-mod.schema.json).
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <nlohmann/json.hpp>

#include "analyze/render/json_parts.h"
#include "analyze/render/task_answers.h"
#include "analyze/render/text_parts.h"

namespace kdk {
namespace {

using json::hex;
using json::integer;
using nlohmann::ordered_json;

std::string names(const std::optional<std::vector<std::string>>& list) {
  if (!list) return "?";
  return list->empty() ? "-" : fmt::format("{}", fmt::join(*list, ","));
}

std::string row(const ModuleListing::Entry& entry) {
  const Module& module = entry.module;
  const ModuleDetails& details = entry.details;
  std::string name = module.name;
  if (!module.taint_letters.empty()) name += fmt::format(" ({})", module.taint_letters);
  return fmt::format("{:016x}  {:<28} {:>9} {:<8} {:>5} {:>8}  {}\n", module.address, name, module.size_bytes,
                     module.state, details.references ? fmt::format("{}", *details.references) : "?",
                     details.symbols ? fmt::format("{}", *details.symbols) : "?", names(details.users));
}

std::string in_full(const ModuleListing::Entry& entry) {
  const Module& module = entry.module;
  const ModuleDetails& details = entry.details;
  std::string out;
  auto fact = [&](std::string_view label, const std::string& value) {
    if (!value.empty()) out += text::wrap(fmt::format("  {:<12}", label), value, std::string(14, ' '));
  };
  out += module.name + '\n';
  fact("address", fmt::format("{:016x}", module.address));
  fact("state", module.state);
  fact("taint", module.taint_letters.empty() ? "none" : module.taint_letters);
  fact("size", text::bytes(module.size_bytes));
  fact("references", details.references ? fmt::format("{}", *details.references) : "?");
  fact("used by", names(details.users));
  fact("needs", names(details.needs));
  fact("symbols", details.symbols ? fmt::format("{}", *details.symbols) : "?");
  fact("version", module.version);
  fact("srcversion", module.srcversion);
  fact("build-id", module.build_id);
  fact("arguments", details.arguments);
  for (const Module::Range& range : module.ranges) {
    out += fmt::format("  {:016x}-{:016x}  {:>10}  {}\n", range.base, range.base + range.size,
                       text::bytes(range.size), range.kind);
  }
  if (details.sections) {
    for (const ModuleSection& section : *details.sections) {
      out += fmt::format("  {:016x}  {}{}\n", section.address, section.name,
                         section.gone ? "  (given back after init)" : "");
    }
  }
  for (const std::string& problem : details.problems) fact("problem", problem);
  return out;
}

ordered_json names_json(const std::optional<std::vector<std::string>>& list) {
  return list ? ordered_json(*list) : ordered_json(nullptr);
}

}  // namespace

std::string to_text(const Answer<ModuleListing>& answer) {
  const ModuleListing& facts = answer.facts;
  std::string out;
  if (facts.named) {
    for (const ModuleListing::Entry& entry : facts.modules) {
      if (!out.empty()) out += '\n';
      out += in_full(entry);
    }
    for (const std::string& name : facts.not_found) out += name + ": no such module\n";
    return out;
  }
  if (!facts.why_not.empty()) return out;
  out = fmt::format("{:<16}  {:<28} {:>9} {:<8} {:>5} {:>8}  {}\n", "ADDRESS", "NAME", "SIZE", "STATE",
                    "REFS", "SYMBOLS", "USED BY");
  for (const ModuleListing::Entry& entry : facts.modules) out += row(entry);
  return out;
}

std::string to_json_text(const Answer<ModuleListing>& answer) {
  ordered_json out = json::envelope("analyze-mod", answer.input, answer.limits);
  out["evidence"] = json::evidence(answer.evidence);
  ordered_json items = ordered_json::array();
  for (const auto& [module, details] : answer.facts.modules) {
    ordered_json ranges = ordered_json::array(), sections = nullptr;
    for (const Module::Range& range : module.ranges)
      ranges.push_back(
          {{"kind", range.kind}, {"base", hex(range.base)}, {"size_bytes", integer(range.size)}});
    if (details.sections) {
      sections = ordered_json::array();
      for (const ModuleSection& section : *details.sections)
        sections.push_back(
            {{"name", json::text(section.name)}, {"address", hex(section.address)}, {"gone", section.gone}});
    }
    ordered_json item;
    item["name"] = module.name;
    item["address"] = hex(module.address);
    item["size_bytes"] = integer(module.size_bytes);
    item["state"] = json::text(module.state);
    item["taint_mask"] = hex(module.taints);
    item["taint_letters"] = module.taint_letters;
    item["references"] = details.references ? ordered_json(*details.references) : ordered_json(nullptr);
    item["used_by"] = names_json(details.users);
    item["needs"] = names_json(details.needs);
    item["symbols"] = integer(details.symbols);
    item["version"] = json::text(module.version);
    item["srcversion"] = json::text(module.srcversion);
    item["build_id"] = json::text(module.build_id);
    item["arguments"] = json::text(details.arguments);
    item["ranges"] = std::move(ranges);
    item["sections"] = std::move(sections);
    items.push_back(std::move(item));
  }
  out["items"] = std::move(items);
  out["not_found"] = answer.facts.not_found;
  out["limits"] = json::limits(answer.limits);
  return json::dump(out);
}

}  // namespace kdk
