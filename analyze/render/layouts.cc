// `struct` without an address: how a type is laid out.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "analyze/render/json_parts.h"
#include "analyze/render/types.h"

namespace kdk {
namespace {

void add_rows(const std::vector<LayoutMember>& members, size_t depth, std::string& out) {
  const std::string margin(depth * 2, ' ');
  for (const LayoutMember& m : members) {
    std::string place = fmt::format("{:>6}", m.offset);
    if (m.bits != 0) place += fmt::format(":{}", m.bit);
    if (m.children.empty()) {
      out += fmt::format("{:<9} {:>6}  {}{};\n", place, m.size, margin, m.declaration);
      continue;
    }
    // An anonymous struct: "union {...}".
    out += fmt::format("{:<9} {:>6}  {}{} {{\n", place, m.size, margin, m.type.substr(0, m.type.find(' ')));
    add_rows(m.children, depth + 1, out);
    out += fmt::format("{:17} {}}};\n", "", margin);
  }
}

nlohmann::ordered_json member_json(const LayoutMember& m) {
  using nlohmann::ordered_json;
  ordered_json out;
  out["name"] = json::text(m.name);
  out["type"] = m.type;
  out["declaration"] = m.declaration;
  out["offset"] = json::integer(m.offset);
  out["size_bytes"] = json::integer(m.size);
  if (m.bits != 0) {
    out["bit"] = m.bit;
    out["bits"] = m.bits;
  }
  if (!m.children.empty()) {
    ordered_json children = ordered_json::array();
    for (const LayoutMember& child : m.children) children.push_back(member_json(child));
    out["members"] = std::move(children);
  }
  return out;
}

}  // namespace

std::string to_text(const Answer<StructLayout>& answer) {
  const StructLayout& layout = answer.facts;
  if (layout.kind == "enum") {
    std::string out = fmt::format("{} {{  // {} bytes\n", layout.type, layout.size);
    for (const StructLayout::Enumerator& each : layout.enumerators)
      out += fmt::format("  {} = {},\n", each.name, each.value);
    return out + "};\n";
  }
  if (layout.members.empty()) {
    const std::string what = layout.stands_for.empty() ? "" : fmt::format(" is {}", layout.stands_for);
    return fmt::format("{}{}: {} bytes\n", layout.type, what, layout.size);
  }
  std::string out = layout.type;
  if (!layout.stands_for.empty()) out += fmt::format(" is {}", layout.stands_for);
  out += " {\noffset      size\n";
  add_rows(layout.members, 1, out);
  out += fmt::format("}};  // {} bytes", layout.size);
  if (layout.holes_bytes != 0) out += fmt::format(", {} of them holes", layout.holes_bytes);
  return out + '\n';
}

std::string to_json_text(const Answer<StructLayout>& answer) {
  using nlohmann::ordered_json;
  const StructLayout& layout = answer.facts;
  ordered_json out = json::envelope("analyze-struct", answer.input, answer.limits);
  out["query"] = layout.query;
  out["type"] = layout.type;
  out["kind"] = layout.kind;
  out["stands_for"] = json::text(layout.stands_for);
  out["size_bytes"] = json::integer(layout.size);
  out["holes_bytes"] = json::integer(layout.holes_bytes);
  ordered_json members = ordered_json::array(), enumerators = ordered_json::array();
  for (const LayoutMember& m : layout.members) members.push_back(member_json(m));
  for (const StructLayout::Enumerator& each : layout.enumerators)
    enumerators.push_back({{"name", each.name}, {"value", each.value}});
  out["members"] = std::move(members);
  out["enumerators"] = std::move(enumerators);
  out["limits"] = json::limits(answer.limits);
  return json::dump(out);
}

}  // namespace kdk
