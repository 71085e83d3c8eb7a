// `vtop`: the steps of a translation.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <nlohmann/json.hpp>

#include "analyze/render/addresses.h"
#include "analyze/render/json_parts.h"
#include "analyze/render/owner_parts.h"
#include "analyze/render/text_parts.h"

namespace kdk {

std::string to_text(const Answer<AddressTranslation>& answer) {
  const AddressTranslation& t = answer.facts;
  std::string out =
      fmt::format("{:016x}  {}", t.request.address, t.request.physical ? "physical" : "virtual");
  if (t.request.task) out += fmt::format(", of task {} ({})", *t.request.task, t.comm);
  out +=
      fmt::format(": {}", t.request.physical ? fmt::format("page {} in the dump", t.page_state) : t.status);
  if (t.arithmetic) out += " (by the kernel's fixed mappings: its page tables are not in the dump)";
  out += '\n';
  if (!t.steps.empty()) out += "  level  entry             value             leads to\n";
  for (const AddressTranslation::Step& step : t.steps) {
    out += fmt::format("  {:<5}  {:016x}  ", step.level, step.entry);
    if (!step.raw) {
      out += "the table is not in the dump\n";
      continue;
    }
    out += fmt::format("{:016x}  ", *step.raw);
    if (step.kind == "invalid") {
      out += *step.raw == 0 ? "nothing\n" : "nothing (not present)\n";
      continue;
    }
    out += fmt::format("{:016x}", *step.to);
    if (step.kind == "leaf" && step.level != "pte") out += fmt::format("  {} block", text::bytes(step.size));
    out += fmt::format("  {}\n", fmt::join(step.flags, " "));
  }
  if (!t.physical_address) return out;
  if (!t.request.physical) {
    out += fmt::format("  physical      {:016x}  (page {} in the dump)\n", *t.physical_address, t.page_state);
  }
  if (t.linear_address) out += fmt::format("  linear map    {:016x}\n", *t.linear_address);
  if (t.image_address) out += fmt::format("  kernel image  {:016x}\n", *t.image_address);
  if (t.page) out += page_rows(*t.page);
  return out;
}

std::string to_json_text(const Answer<AddressTranslation>& answer) {
  using nlohmann::ordered_json;
  const AddressTranslation& t = answer.facts;
  ordered_json out = json::envelope("analyze-vtop", answer.input, answer.limits);
  out["query"] = t.request.query;
  out["address"] = json::hex(t.request.address);
  out["space"] = t.request.physical ? "physical" : "virtual";
  out["task"] = nullptr;
  if (t.request.task) {
    out["task"] = {{"pid", *t.request.task},
                   {"comm", json::text(t.comm)},
                   {"task_struct", json::hex(t.task)},
                   {"mm", json::hex(t.mm)}};
  }
  out["root"] = json::hex(t.root);
  ordered_json steps = ordered_json::array();
  for (const AddressTranslation::Step& step : t.steps) {
    steps.push_back({{"level", step.level},
                     {"kind", step.kind},
                     {"entry", json::hex(step.entry)},
                     {"value", json::hex(step.raw)},
                     {"to", json::hex(step.to)},
                     {"covers_bytes", json::integer(step.size)},
                     {"flags", step.flags}});
  }
  out["steps"] = std::move(steps);
  out["translation"] = t.status;
  out["by_arithmetic"] = t.arithmetic;
  out["physical_address"] = json::hex(t.physical_address);
  out["linear_address"] = json::hex(t.linear_address);
  out["image_address"] = json::hex(t.image_address);
  out["page_state"] = json::text(t.page_state);
  out["page"] = t.page ? page_json(*t.page) : ordered_json(nullptr);
  out["limits"] = json::limits(answer.limits);
  return json::dump(out);
}

}  // namespace kdk
