// `dis`: one line for each instruction, source positions between them.
#include "analyze/render/disassembly.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "analyze/render/json_parts.h"
#include "analyze/render/text_parts.h"

namespace kdk {
namespace {

std::string hex_bytes(const std::vector<uint8_t>& bytes) {
  std::string out;
  for (uint8_t byte : bytes) out += fmt::format("{:02x}", byte);
  return out;
}

}  // namespace

std::string to_text(const Answer<Disassembly>& answer) {
  const Disassembly& facts = answer.facts;
  std::string out;
  for (const Instruction& each : facts.instructions) {
    if (each.position) {
      for (const InlineFrame& inlined : each.position->inlines)
        out += fmt::format("    {} (inlined)  {}\n", inlined.function,
                           text::position(inlined.file, inlined.line));
      if (!each.position->file.empty())
        out += fmt::format("    {}\n", text::position(each.position->file, each.position->line));
    }
    // The instruction that was asked for, in the function it is part of.
    const bool marked = each.address == facts.request.address && each.address != facts.start;
    std::string place = fmt::format("{:016x}", each.address);
    if (facts.size != 0) place += fmt::format(" <{}+{:#x}>", facts.symbol, each.address - facts.start);
    out += fmt::format("{} {}  {}", marked ? "=>" : "  ", place, each.text);
    if (!each.comment.empty())
      out += each.comment[0] == '"' ? "  " + each.comment : fmt::format("  <{}>", each.comment);
    out += '\n';
  }
  if (!facts.end.empty()) out += fmt::format("   (ends here: {})\n", facts.end);
  return out;
}

std::string to_json_text(const Answer<Disassembly>& answer) {
  using nlohmann::ordered_json;
  const Disassembly& facts = answer.facts;
  ordered_json out = json::envelope("analyze-dis", answer.input, answer.limits);
  out["evidence"] = json::evidence(answer.evidence);
  out["query"] = facts.request.query;
  out["address"] = json::hex(facts.request.address);
  out["symbol"] = json::text(facts.symbol);
  out["module"] = json::text(facts.module);
  out["start"] = facts.size != 0 ? json::hex(facts.start) : ordered_json(nullptr);
  out["size_bytes"] = facts.size != 0 ? json::integer(facts.size) : ordered_json(nullptr);
  ordered_json instructions = ordered_json::array();
  for (const Instruction& each : facts.instructions) {
    ordered_json item;
    item["address"] = json::hex(each.address);
    item["bytes"] = hex_bytes(each.bytes);
    item["text"] = each.text;
    item["known"] = each.known;
    item["target"] = json::hex(each.target);
    item["target_symbol"] = json::text(each.comment);
    if (each.position) {
      ordered_json inlines = ordered_json::array();
      for (const InlineFrame& inlined : each.position->inlines) {
        inlines.push_back({{"function", inlined.function},
                           {"file", json::text(inlined.file)},
                           {"line", inlined.line != 0 ? ordered_json(inlined.line) : ordered_json(nullptr)}});
      }
      item["position"] = {
          {"file", json::text(each.position->file)},
          {"line", each.position->line != 0 ? ordered_json(each.position->line) : ordered_json(nullptr)},
          {"inlines", std::move(inlines)}};
    }
    instructions.push_back(std::move(item));
  }
  out["instructions"] = std::move(instructions);
  out["ends_early"] = json::text(facts.end);
  out["limits"] = json::limits(answer.limits);
  return json::dump(out);
}

}  // namespace kdk
