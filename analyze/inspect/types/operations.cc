#include "analyze/inspect/types/operations.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/base/error.h"
#include "core/base/log.h"

namespace kdk {

using Kind = CTypes::Kind;

Value Operations::literal(uint64_t number) {
  // As in C, and unsigned where it would not fit.
  const bool is_signed = number >> 63 == 0;
  return {types_.integer(8, is_signed), std::nullopt, 0, 0, number, {}};
}

Value Operations::pointer(CType to, uint64_t address) {
  return {types_.pointer_to(to), std::nullopt, 0, 0, address, {}};
}

bool Operations::is_pointer(const Value& value) {
  const Kind kind = types_.record(value.type).kind;
  return kind == Kind::pointer || kind == Kind::array;
}

bool Operations::is_signed(const Value& value) {
  // Everything narrower than int is promoted to int, which holds all of its values.
  const CTypes::Record record = types_.record(value.type);
  return record.is_signed || (record.kind == Kind::integer && record.size < 4);
}

uint64_t Operations::stride(const Value& pointer) {
  const auto target = types_.target(pointer.type);
  return std::max<uint64_t>(target ? types_.size(*target) : 1, 1);
}

Value Operations::follow(const Value& value) {
  const auto target = types_.target(value.type);
  if (!target) throw Error(Errc::unsupported, fmt::format("{} is no pointer", types_.name(value.type)));
  const uint64_t to = reader_.number(value);
  if (to == 0) throw Error(Errc::fault, "a NULL pointer", 0);
  return {*target, VirtAddr{to}, 0, 0, 0, value.label};
}

Value Operations::member(const Value& of, std::string_view name) {
  Value whole = of;
  if (types_.record(of.type).kind == Kind::pointer) whole = follow(of);
  const auto found = types_.member(whole.type, name);
  if (!found) {
    throw Error(Errc::missing,
                fmt::format("{} has no member {}", types_.name(whole.type), escape_untrusted(name)));
  }
  if (!whole.at) throw Error(Errc::unsupported, "a member of what is not in memory");
  Value out{found->type, *whole.at + found->bit_offset / 8, 0, 0, 0, of.label};
  if (found->bitfield_size != 0) {
    out.bit = static_cast<unsigned>(found->bit_offset % 8);
    out.bits = found->bitfield_size;
  }
  return out;
}

Value Operations::index(const Value& of, uint64_t index) {
  const auto target = types_.target(of.type);
  if (!target) throw Error(Errc::unsupported, fmt::format("{} has no elements", types_.name(of.type)));
  const uint64_t size = types_.size(*target);
  if (size == 0) throw Error(Errc::unsupported, fmt::format("{} has no size", types_.name(*target)));
  return {*target, VirtAddr{reader_.number(of) + index * size}, 0, 0, 0, of.label};
}

Value Operations::address_of(const Value& place) {
  if (!place.at || place.bits != 0) throw Error(Errc::unsupported, "& of what has no address");
  return {types_.pointer_to(place.type), std::nullopt, 0, 0, place.at->value, place.label};
}

uint64_t Operations::address(const Value& value) {
  switch (types_.record(value.type).kind) {
    case Kind::pointer:
    case Kind::integer:
    case Kind::enumeration:
      return reader_.number(value);
    default:
      if (value.at) return value.at->value;
      throw Error(Errc::unsupported, "has no address");
  }
}

Value Operations::cast(CType type, const Value& value) {
  const CTypes::Record to = types_.record(type);
  if (to.kind != Kind::integer && to.kind != Kind::pointer && to.kind != Kind::enumeration) {
    throw Error(Errc::unsupported,
                fmt::format("a cast to {0}; *({0} *)ADDRESS is one that is somewhere", types_.name(type)));
  }
  uint64_t number = reader_.number(value);
  const unsigned bits = static_cast<unsigned>(to.size * 8);
  if (bits < 64) number &= (uint64_t{1} << bits) - 1;
  if (to.is_signed && bits < 64 && (number >> (bits - 1) & 1) != 0) number |= ~uint64_t{0} << bits;
  if (to.is_bool) number = number != 0;
  return {type, std::nullopt, 0, 0, number, value.label};
}

Value Operations::unary(std::string_view sign, const Value& value) {
  const uint64_t number = reader_.number(value);
  if (sign == "!") return {types_.boolean_result(), std::nullopt, 0, 0, number == 0, value.label};
  const CType type = types_.integer(8, is_signed(value));
  if (sign == "-") return {type, std::nullopt, 0, 0, ~number + 1, value.label};
  if (sign == "~") return {type, std::nullopt, 0, 0, ~number, value.label};
  return {type, std::nullopt, 0, 0, number, value.label};
}

Value Operations::binary(std::string_view sign, const Value& left, const Value& right) {
  const bool left_pointer = is_pointer(left), right_pointer = is_pointer(right);
  const uint64_t a = reader_.number(left), b = reader_.number(right);
  const std::string& label = left.label.empty() ? right.label : left.label;
  const auto result = [&](uint64_t number, CType type) {
    return Value{type, std::nullopt, 0, 0, number, label};
  };
  const bool both_signed = is_signed(left) && is_signed(right);
  const auto truth = [&](bool yes) { return result(yes ? 1 : 0, types_.boolean_result()); };
  if (sign == "==") return truth(a == b);
  if (sign == "!=") return truth(a != b);
  if (sign == "&&") return truth(a != 0 && b != 0);
  if (sign == "||") return truth(a != 0 || b != 0);
  const auto less = [&](uint64_t x, uint64_t y) {
    return both_signed ? static_cast<int64_t>(x) < static_cast<int64_t>(y) : x < y;
  };
  if (sign == "<") return truth(less(a, b));
  if (sign == ">") return truth(less(b, a));
  if (sign == "<=") return truth(!less(b, a));
  if (sign == ">=") return truth(!less(a, b));
  if (sign == "+" || sign == "-") {
    const bool minus = sign == "-";
    if (left_pointer && right_pointer) {
      if (!minus) throw Error(Errc::unsupported, "two pointers cannot be added");
      return result(static_cast<uint64_t>(static_cast<int64_t>(a - b) / static_cast<int64_t>(stride(left))),
                    types_.integer(8, true));
    }
    if (left_pointer || right_pointer) {
      const Value& pointer = left_pointer ? left : right;
      const auto target = types_.target(pointer.type);
      const uint64_t step = (left_pointer ? b : a) * stride(pointer);
      return result((left_pointer ? a : b) + (minus ? ~step + 1 : step), types_.pointer_to(*target));
    }
    return result(minus ? a - b : a + b, types_.integer(8, both_signed));
  }
  const CType type = types_.integer(8, both_signed);
  if (sign == "*") return result(a * b, type);
  if (sign == "&") return result(a & b, type);
  if (sign == "|") return result(a | b, type);
  if (sign == "^") return result(a ^ b, type);
  if (sign == "<<") return result(b < 64 ? a << b : 0, types_.integer(8, is_signed(left)));
  if (sign == ">>") {
    if (is_signed(left))
      return result(static_cast<uint64_t>(static_cast<int64_t>(a) >> std::min<uint64_t>(b, 63)),
                    types_.integer(8, true));
    return result(b < 64 ? a >> b : 0, types_.integer(8, false));
  }
  if (b == 0) throw Error(Errc::unsupported, "division by zero");
  if (both_signed) {
    if (b == ~uint64_t{0}) return result(sign == "/" ? ~a + 1 : 0, type);  // INT64_MIN / -1 has no value
    const int64_t x = static_cast<int64_t>(a), y = static_cast<int64_t>(b);
    return result(static_cast<uint64_t>(sign == "/" ? x / y : x % y), type);
  }
  return result(sign == "/" ? a / b : a % b, type);
}

}  // namespace kdk
