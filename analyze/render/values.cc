// `print`, and `struct` at an address: values as C would write them, and as JSON.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "analyze/render/json_parts.h"
#include "analyze/render/types.h"

namespace kdk {
namespace {

using Kind = ValueNode::Kind;

constexpr size_t line_width = 100;
constexpr uint64_t small = 4096;  // unsigned numbers below are counts, those above are masks and addresses

std::string integer_text(const ValueNode& node) {
  if (node.is_signed) return fmt::format("{}", static_cast<int64_t>(node.number));
  return node.number < small ? fmt::format("{}", node.number) : fmt::format("{:#x}", node.number);
}

std::string pointer_text(const ValueNode& node) {
  if (node.number == 0) return "NULL";
  std::string out = fmt::format("{:#018x}", node.number);
  if (!node.text.empty()) out += fmt::format(" <{}>", node.text);
  for (const ValueNode& behind : node.children)
    out += fmt::format(" \"{}\"{}", behind.text, behind.left_out != 0 ? "..." : "");
  return out;
}

std::string value_text(const ValueNode& node, size_t indent);

// Children of one value between braces: on one line where that is short, else a line each.
std::string braces(const ValueNode& node, size_t indent) {
  std::vector<std::string> parts;
  bool flat = true;
  size_t length = 4;
  for (const ValueNode& child : node.children) {
    std::string part = node.kind == Kind::aggregate && !child.name.empty() ? "." + child.name + " = " : "";
    part += value_text(child, indent + 2);
    if (child.repeats != 0) part += fmt::format(" <{} times>", child.repeats + 1);
    flat = flat && part.find('\n') == std::string::npos;
    length += part.size() + 2;
    parts.push_back(std::move(part));
  }
  if (node.left_out != 0) parts.push_back(fmt::format("<{} more>", node.left_out));
  if (parts.empty()) return "{}";
  std::string out = "{";
  // Numbers of an array fill lines; members have one each unless all fit.
  const bool fill = flat && node.kind == Kind::array;
  if (flat && indent + length <= line_width) {
    for (size_t i = 0; i < parts.size(); ++i) out += (i == 0 ? "" : ", ") + parts[i];
    return out + "}";
  }
  const std::string margin(indent + 2, ' ');
  out += '\n';
  std::string line = margin;
  for (const std::string& part : parts) {
    if (fill && line.size() > margin.size() && line.size() + part.size() + 2 <= line_width) {
      line += " " + part + ",";
      continue;
    }
    if (line.size() > margin.size()) out += line + '\n';
    line = margin + part + ",";
  }
  return out + line + '\n' + std::string(indent, ' ') + "}";
}

std::string value_text(const ValueNode& node, size_t indent) {
  switch (node.kind) {
    case Kind::integer:
      return integer_text(node);
    case Kind::boolean:
      return node.number == 0 ? "false" : node.number == 1 ? "true" : integer_text(node);
    case Kind::enumeration:
      return node.text.empty() ? integer_text(node) : fmt::format("{} ({})", node.text, integer_text(node));
    case Kind::floating:
      return fmt::format("<bits {:#x}>", node.number);
    case Kind::pointer:
    case Kind::function:
      return pointer_text(node);
    case Kind::text:
      return fmt::format("\"{}\"{}", node.text, node.left_out != 0 ? "..." : "");
    case Kind::aggregate:
    case Kind::array:
      return braces(node, indent);
    case Kind::unknown:
      return node.address != 0 ? fmt::format("<at {:#x}>", node.address) : "<unknown>";
    case Kind::unreadable:
      return fmt::format("<{}>", node.why_not);
  }
  return {};
}

// The type, where a reader of the value alone would not know it.
std::string typed(const ValueNode& node) {
  switch (node.kind) {
    case Kind::pointer:
    case Kind::aggregate:
    case Kind::unknown:
      return fmt::format("({})", node.type);
    default:
      return {};
  }
}

std::string_view kind_name(Kind kind) {
  switch (kind) {
    case Kind::integer:
      return "integer";
    case Kind::boolean:
      return "boolean";
    case Kind::enumeration:
      return "enum";
    case Kind::floating:
      return "floating";
    case Kind::pointer:
      return "pointer";
    case Kind::text:
      return "text";
    case Kind::aggregate:
      return "struct";
    case Kind::array:
      return "array";
    case Kind::function:
      return "function";
    case Kind::unknown:
      return "unknown";
    case Kind::unreadable:
      break;
  }
  return "unreadable";
}

nlohmann::ordered_json value_json(const ValueNode& node) {
  using nlohmann::ordered_json;
  ordered_json out;
  out["name"] = json::text(node.name);
  out["type"] = node.type;
  out["kind"] = kind_name(node.kind);
  out["address"] = node.address != 0 ? json::hex(node.address) : ordered_json(nullptr);
  out["offset"] = json::integer(node.offset);
  out["size_bytes"] = json::integer(node.size);
  if (node.bits != 0) {
    out["bit"] = node.bit;
    out["bits"] = node.bits;
  }
  switch (node.kind) {
    case Kind::integer:
    case Kind::boolean:
    case Kind::enumeration:
    case Kind::floating:
    case Kind::pointer:
    case Kind::function: {
      out["value"] = json::hex(node.number);
      const int64_t number = static_cast<int64_t>(node.number);
      constexpr int64_t exact = int64_t{1} << 53;
      if (node.kind != Kind::pointer && node.kind != Kind::function && (node.is_signed || number >= 0) &&
          number > -exact && number < exact)
        out["number"] = number;
      if (!node.text.empty()) out["text"] = node.text;
      for (const ValueNode& behind : node.children) out["string"] = behind.text;
      break;
    }
    case Kind::text:
      out["text"] = node.text;
      break;
    case Kind::aggregate:
    case Kind::array: {
      ordered_json children = ordered_json::array();
      for (const ValueNode& child : node.children) children.push_back(value_json(child));
      out[node.kind == Kind::array ? "elements" : "members"] = std::move(children);
      break;
    }
    case Kind::unknown:
      break;
    case Kind::unreadable:
      out["why_not"] = node.why_not;
      break;
  }
  if (node.repeats != 0) out["repeats"] = node.repeats;
  if (node.left_out != 0) out["left_out"] = json::integer(node.left_out);
  return out;
}

}  // namespace

std::string to_text(const Answer<PrintedValues>& answer) {
  std::string out;
  for (const PrintedExpression& e : answer.facts.expressions) {
    if (!e.error.empty()) {
      out += fmt::format("{}: {}\n", e.expression, e.error);
      continue;
    }
    if (e.many) out += fmt::format("{}: {} values\n", e.expression, e.items.size());
    for (size_t i = 0; i < e.items.size(); ++i) {
      const PrintedExpression::Item& item = e.items[i];
      const std::string name = !e.many              ? e.expression
                               : item.label.empty() ? fmt::format("  [{}]", i)
                                                    : "  " + item.label;
      out += fmt::format("{} = {}{}\n", name, typed(item.value), value_text(item.value, e.many ? 2 : 0));
    }
    for (const std::string& problem : e.problems) out += fmt::format("  incomplete: {}\n", problem);
  }
  return out;
}

std::string to_json_text(const Answer<PrintedValues>& answer) {
  using nlohmann::ordered_json;
  ordered_json out = json::envelope("analyze-print", answer.input, answer.limits);
  ordered_json expressions = ordered_json::array();
  for (const PrintedExpression& e : answer.facts.expressions) {
    ordered_json values = ordered_json::array();
    for (const PrintedExpression::Item& item : e.items)
      values.push_back({{"label", json::text(item.label)}, {"value", value_json(item.value)}});
    expressions.push_back({{"expression", e.expression},
                           {"walk", e.many},
                           {"values", std::move(values)},
                           {"problems", e.problems},
                           {"error", json::text(e.error)}});
  }
  out["expressions"] = std::move(expressions);
  out["limits"] = json::limits(answer.limits);
  return json::dump(out);
}

}  // namespace kdk
