#include "analyze/inspect/types/value.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/base/error.h"
#include "core/base/log.h"

namespace kdk {
namespace {

constexpr int most_depth = 32;
constexpr uint64_t most_text = 1 << 16;    // of a character array
constexpr size_t most_pointed_text = 128;  // of what a char pointer leads to
constexpr unsigned most_bitfield_bits = 64;

uint64_t sign_extended(uint64_t number, unsigned bits) {
  if (bits == 0 || bits >= 64) return number;
  const uint64_t top = uint64_t{1} << (bits - 1);
  number &= (top << 1) - 1;
  return (number ^ top) - top;
}

// Whether two elements are shown alike; how often the first has been seen before does not count.
bool same(const ValueNode& a, const ValueNode& b) {
  if (a.kind != b.kind || a.number != b.number || a.text != b.text || a.why_not != b.why_not ||
      a.children.size() != b.children.size())
    return false;
  return std::equal(
      a.children.begin(), a.children.end(), b.children.begin(),
      [](const ValueNode& x, const ValueNode& y) { return x.repeats == y.repeats && same(x, y); });
}

}  // namespace

std::optional<uint64_t> ValueReader::load(const Value& value, uint64_t size, std::string& why_not) {
  if (!value.at) return value.number;
  if (value.bits == 0) {
    std::array<uint8_t, 8> bytes{};
    const ReadResult read =
        kernel_.memory().read(*value.at, MutableBytes(bytes).first(std::min<uint64_t>(size, 8)));
    if (read) return *kdk::load<ul64>(bytes);
    why_not = fmt::format("{:#x}: {}", read.address, to_string(read.status));
    return std::nullopt;
  }
  // A bit field may begin anywhere and reach into a ninth byte.
  const VirtAddr first = *value.at + value.bit / 8;
  const unsigned shift = value.bit % 8, bits = std::min(value.bits, most_bitfield_bits);
  std::array<uint8_t, 16> bytes{};
  const ReadResult read = kernel_.memory().read(first, MutableBytes(bytes).first((shift + bits + 7) / 8));
  if (!read) {
    why_not = fmt::format("{:#x}: {}", read.address, to_string(read.status));
    return std::nullopt;
  }
  const uint64_t low = *kdk::load<ul64>(bytes) >> shift;
  const uint64_t high = shift == 0 ? 0 : *kdk::load<ul64>(bytes, 8) << (64 - shift);
  const uint64_t all = low | high;
  return bits == 64 ? all : all & ((uint64_t{1} << bits) - 1);
}

uint64_t ValueReader::number(const Value& value) {
  using Kind = CTypes::Kind;
  const CTypes::Record record = types_.record(value.type);
  switch (record.kind) {
    case Kind::array:
    case Kind::function:
    case Kind::prototype:
      if (value.at) return value.at->value;
      break;
    case Kind::integer:
    case Kind::enumeration:
    case Kind::pointer: {
      std::string why;
      const auto bits = load(value, record.size, why);
      if (!bits) throw Error(Errc::fault, why, value.at ? value.at->value : 0);
      const unsigned width = value.bits != 0 ? value.bits : static_cast<unsigned>(record.size * 8);
      if (record.is_signed) return sign_extended(*bits, width);
      return width >= 64 ? *bits : *bits & ((uint64_t{1} << width) - 1);
    }
    default:
      break;
  }
  throw Error(Errc::unsupported, fmt::format("{} is not a number", types_.name(value.type)));
}

ValueNode ValueReader::read(const Value& value, const ValueOptions& options) {
  options_ = options;
  nodes_ = 0;
  ValueNode out = node({}, value.type, value, 0);
  return out;
}

void ValueReader::pointer_text(ValueNode& out, CType type) {
  if (out.number == 0) return;
  const uint64_t address = kernel_.memory().arch().strip(out.number, kernel_.memory().layout()).value;
  if (const auto hit = kernel_.symbols().lookup(address)) {
    out.text = escape_untrusted(hit->symbol.name);
    if (hit->offset != 0) out.text += fmt::format("+{:#x}", hit->offset);
    if (!hit->symbol.module.empty()) out.text += fmt::format(" [{}]", escape_untrusted(hit->symbol.module));
  }
  const auto target = types_.target(type);
  if (!options_.strings || !target) return;
  const CTypes::Record pointed = types_.record(*target);
  if (pointed.kind != CTypes::Kind::integer || !pointed.is_char) return;
  const auto text = kernel_.memory().string({address}, most_pointed_text);
  if (!text) return;
  // In a child, as what is behind the pointer: a name and a text can both be there.
  ValueNode string;
  string.kind = ValueNode::Kind::text;
  string.address = address;
  string.size = text->size();
  string.text = escape_untrusted(*text);
  string.left_out = text->size() == most_pointed_text ? 1 : 0;
  out.children.push_back(std::move(string));
}

void ValueReader::scalar(ValueNode& out, const CTypes::Record& record, CType type, const Value& value) {
  using Kind = CTypes::Kind;
  std::string why;
  const auto bits = load(value, record.size, why);
  if (!bits) {
    out.kind = ValueNode::Kind::unreadable;
    out.why_not = std::move(why);
    return;
  }
  const unsigned width = value.bits != 0 ? value.bits : static_cast<unsigned>(record.size * 8);
  out.is_signed = record.is_signed;
  out.number = record.is_signed ? sign_extended(*bits, width)
               : width >= 64    ? *bits
                                : *bits & ((uint64_t{1} << width) - 1);
  switch (record.kind) {
    case Kind::pointer:
      out.kind = ValueNode::Kind::pointer;
      pointer_text(out, type);
      break;
    case Kind::enumeration:
      out.kind = ValueNode::Kind::enumeration;
      for (const CTypes::Record::Enumerator& each : record.enumerators) {
        if (static_cast<uint64_t>(each.value) != out.number) continue;
        out.text = escape_untrusted(each.name);
        break;
      }
      break;
    case Kind::floating:
      out.kind = ValueNode::Kind::floating;
      break;
    default:
      out.kind = record.is_bool ? ValueNode::Kind::boolean : ValueNode::Kind::integer;
  }
}

void ValueReader::aggregate(ValueNode& out, const CTypes::Record& record, CType type, VirtAddr at,
                            int depth) {
  out.kind = ValueNode::Kind::aggregate;
  for (const CTypes::Record::Field& field : record.fields) {
    if (depth >= most_depth || nodes_ >= options_.most_nodes) {
      ++out.left_out;
      continue;
    }
    const Btf::Member& member = field.member;
    Value value{{type.btf, member.type_id, 0}, at + member.bit_offset / 8, 0, 0, 0, {}};
    if (member.bitfield_size != 0) {
      value.at = at;
      value.bit = static_cast<unsigned>(member.bit_offset);
      value.bits = member.bitfield_size;
    }
    ValueNode child = node(escape_untrusted(field.name), value.type, value, depth + 1);
    child.offset = member.bit_offset / 8;
    if (member.bitfield_size != 0) {
      child.bit = static_cast<unsigned>(member.bit_offset % 8);
      child.bits = member.bitfield_size;
      child.address = at.value + *child.offset;
    }
    out.children.push_back(std::move(child));
  }
}

void ValueReader::array(ValueNode& out, const CTypes::Record& record, CType type, VirtAddr at, int depth) {
  const CType element{type.btf, record.target, 0};
  const CTypes::Record of = types_.record(element);
  if (of.kind == CTypes::Kind::integer && of.size == 1 && of.is_char) {
    std::vector<uint8_t> bytes(std::min(record.count, most_text));
    const ReadResult read = kernel_.memory().read(at, bytes);
    if (!read) {
      out.kind = ValueNode::Kind::unreadable;
      out.why_not = fmt::format("{:#x}: {}", read.address, to_string(read.status));
      return;
    }
    out.kind = ValueNode::Kind::text;
    const std::string_view text = as_text(bytes);
    // What follows the terminator is shown only when it is not all zeros.
    const size_t end = text.find_last_not_of('\0');
    out.text = escape_untrusted(end == std::string_view::npos ? std::string_view() : text.substr(0, end + 1));
    out.left_out = record.count - bytes.size();
    return;
  }
  out.kind = ValueNode::Kind::array;
  if (of.size == 0) {
    out.left_out = record.count;
    return;
  }
  for (uint64_t i = 0; i < record.count; ++i) {
    if (depth >= most_depth || nodes_ >= options_.most_nodes ||
        out.children.size() >= options_.most_elements) {
      out.left_out = record.count - i;
      return;
    }
    ValueNode child =
        node(fmt::format("[{}]", i), element, {element, at + i * of.size, 0, 0, 0, {}}, depth + 1);
    child.offset = i * of.size;
    if (!out.children.empty() && same(out.children.back(), child)) {
      ++out.children.back().repeats;
    } else {
      out.children.push_back(std::move(child));
    }
  }
}

ValueNode ValueReader::node(std::string name, CType type, const Value& value, int depth) {
  using Kind = CTypes::Kind;
  ++nodes_;
  ValueNode out;
  out.name = std::move(name);
  out.type = types_.name(type);
  out.address = value.at ? value.at->value : 0;
  const CType resolved = types_.resolve(type);
  const CTypes::Record record = types_.declared(resolved);
  out.size = record.size;
  switch (record.kind) {
    case Kind::integer:
    case Kind::enumeration:
    case Kind::pointer:
    case Kind::floating:
      if (record.size > 8) {
        // __int128: its two halves
        out.kind = ValueNode::Kind::unknown;
        break;
      }
      scalar(out, record, resolved, value);
      break;
    case Kind::structure:
    case Kind::union_:
      if (value.at) aggregate(out, record, resolved, *value.at, depth);
      break;
    case Kind::array:
      if (value.at) array(out, record, resolved, *value.at, depth);
      break;
    case Kind::function:
    case Kind::prototype:
      out.kind = ValueNode::Kind::function;
      out.number = out.address;
      pointer_text(out, resolved);
      break;
    default:
      out.kind = ValueNode::Kind::unknown;
  }
  return out;
}

}  // namespace kdk
