#include "analyze/unwind/dwarf_values.h"

#include <dwarf.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "core/base/log.h"

namespace kdk {
namespace {

constexpr unsigned max_chain = 24;     // typedefs and qualifiers of one type
constexpr uint64_t max_value = 65536;  // bytes
constexpr size_t max_members = 64, max_elements = 16, max_text = 256;

// What printing needs beside the bytes.
struct Context {
  const std::function<std::string(uint64_t)>& note;
  std::span<const Hole> holes;
  const uint8_t* begin;  // of the whole value, which all bytes that are printed are part of

  bool has_hole_in(Bytes part) const {
    const auto first = static_cast<uint64_t>(part.data() - begin), end = first + part.size();
    return std::ranges::any_of(
        holes, [&](const Hole& hole) { return hole.offset < end && hole.offset + hole.size > first; });
  }
};
constexpr std::string_view nowhere = "<optimized out>";

std::optional<Dwarf_Die> type_of(Dwarf_Die* die) {
  Dwarf_Attribute attribute;
  Dwarf_Die type;
  if (dwarf_attr_integrate(die, DW_AT_type, &attribute) == nullptr ||
      dwarf_formref_die(&attribute, &type) == nullptr) {
    return std::nullopt;
  }
  return type;
}

// Without typedefs and qualifiers.
std::optional<Dwarf_Die> plain_type_of(Dwarf_Die* die) {
  std::optional<Dwarf_Die> type = type_of(die);
  for (unsigned i = 0; type && i < max_chain; ++i) {
    switch (dwarf_tag(&*type)) {
      case DW_TAG_typedef:
      case DW_TAG_const_type:
      case DW_TAG_volatile_type:
      case DW_TAG_restrict_type:
      case DW_TAG_atomic_type:
        type = type_of(&*type);
        continue;
      default:
        return type;
    }
  }
  return std::nullopt;
}

std::optional<uint64_t> number(Dwarf_Die* die, unsigned name) {
  Dwarf_Attribute attribute;
  Dwarf_Word value = 0;
  if (dwarf_attr_integrate(die, name, &attribute) == nullptr || dwarf_formudata(&attribute, &value) != 0) {
    return std::nullopt;
  }
  return value;
}

std::string own_name(Dwarf_Die* die) {
  const char* name = dwarf_diename(die);
  return name != nullptr ? escape_untrusted(name) : std::string();
}

// Elements of an array's dimensions, outermost first; 0: not said.
std::vector<uint64_t> dimensions(Dwarf_Die* array) {
  std::vector<uint64_t> counts;
  Dwarf_Die child;
  if (dwarf_child(array, &child) != 0) return counts;
  do {
    if (dwarf_tag(&child) != DW_TAG_subrange_type) continue;
    std::optional<uint64_t> count = number(&child, DW_AT_count);
    if (!count) {
      const std::optional<uint64_t> last = number(&child, DW_AT_upper_bound);
      count = last ? *last + 1 : 0;
    }
    counts.push_back(*count);
  } while (counts.size() < 8 && dwarf_siblingof(&child, &child) == 0);
  return counts;
}

std::string name_of_type(const std::optional<Dwarf_Die>& given, unsigned depth) {
  if (!given) return "void";
  if (depth > max_chain) return "...";
  Dwarf_Die type = *given;
  auto inner = [&] { return name_of_type(type_of(&type), depth + 1); };
  auto qualified = [&](std::string_view word) {
    const std::string name = inner();
    if (name.starts_with(fmt::format("{} ", word)) && !name.ends_with('*')) return name;
    // Of a pointer the qualifier stands behind it.
    return name.ends_with('*') ? fmt::format("{}{}", name, word) : fmt::format("{} {}", word, name);
  };
  auto tagged = [&](std::string_view word) {
    const std::string name = own_name(&type);
    return fmt::format("{} {}", word, name.empty() ? "{...}" : name);
  };
  switch (dwarf_tag(&type)) {
    case DW_TAG_pointer_type: {
      std::optional<Dwarf_Die> target = type_of(&type);
      if (target && dwarf_tag(&*target) == DW_TAG_subroutine_type) {
        return name_of_type(type_of(&*target), depth + 1) + " (*)()";
      }
      const std::string name = name_of_type(target, depth + 1);
      return name + (name.ends_with('*') ? "*" : " *");
    }
    case DW_TAG_const_type:
      return qualified("const");
    case DW_TAG_volatile_type:
      return qualified("volatile");
    case DW_TAG_restrict_type:
    case DW_TAG_atomic_type:
      return inner();
    case DW_TAG_structure_type:
    case DW_TAG_class_type:
      return tagged("struct");
    case DW_TAG_union_type:
      return tagged("union");
    case DW_TAG_enumeration_type:
      return tagged("enum");
    case DW_TAG_array_type: {
      std::string name = inner() + " ";
      for (uint64_t count : dimensions(&type)) name += count == 0 ? "[]" : fmt::format("[{}]", count);
      return name;
    }
    case DW_TAG_subroutine_type:
      return inner() + " ()";
    default: {
      std::string name = own_name(&type);
      return name.empty() ? "?" : name;
    }
  }
}

uint64_t little_endian(Bytes bytes) {
  std::array<uint8_t, 8> word{};
  std::memcpy(word.data(), bytes.data(), std::min<size_t>(bytes.size(), 8));
  return *load<ul64>(Bytes(word));
}

int64_t sign_extended(uint64_t value, uint64_t bits) {
  if (bits == 0 || bits >= 64) return static_cast<int64_t>(value);
  return static_cast<int64_t>(value << (64 - bits)) >> (64 - bits);
}

std::string print_base(Dwarf_Die* type, uint64_t value, uint64_t bits) {
  switch (number(type, DW_AT_encoding).value_or(0)) {
    case DW_ATE_boolean:
      return value == 0 ? "false" : value == 1 ? "true" : fmt::format("{}", value);
    case DW_ATE_signed_char:
    case DW_ATE_unsigned_char:
      if (bits == 8 && value >= 0x20 && value < 0x7f) return fmt::format("'{}'", static_cast<char>(value));
      [[fallthrough]];
    case DW_ATE_signed:
      if (number(type, DW_AT_encoding) != DW_ATE_unsigned_char) {
        return fmt::format("{}", sign_extended(value, bits));
      }
      [[fallthrough]];
    default:
      // Big numbers are addresses and masks more often than counts.
      return value > 0xffff'ffff ? fmt::format("{:#x}", value) : fmt::format("{}", value);
  }
}

std::string print_enumerator(Dwarf_Die* type, uint64_t value, uint64_t bits) {
  const int64_t wanted = sign_extended(value, bits);
  Dwarf_Die child;
  size_t seen = 0;
  if (dwarf_child(type, &child) == 0) {
    do {
      Dwarf_Attribute attribute;
      Dwarf_Sword constant = 0;
      if (dwarf_tag(&child) != DW_TAG_enumerator ||
          dwarf_attr(&child, DW_AT_const_value, &attribute) == nullptr ||
          dwarf_formsdata(&attribute, &constant) != 0) {
        continue;
      }
      if (constant == wanted || static_cast<uint64_t>(constant) == value) {
        return fmt::format("{} ({})", own_name(&child), wanted);
      }
    } while (++seen < 65536 && dwarf_siblingof(&child, &child) == 0);
  }
  return fmt::format("{}", wanted);
}

std::string print(Dwarf_Die* of, Bytes bytes, const Context& context, unsigned level);

std::string print_array(Dwarf_Die* array, Bytes bytes, const Context& context, unsigned level) {
  std::optional<Dwarf_Die> element = plain_type_of(array);
  Dwarf_Word size = 0;
  if (!element || dwarf_aggregate_size(&*element, &size) != 0 || size == 0) return "[...]";
  const uint64_t encoding =
      dwarf_tag(&*element) == DW_TAG_base_type ? number(&*element, DW_AT_encoding).value_or(0) : 0;
  if (size == 1 && !context.has_hole_in(bytes) &&
      (encoding == DW_ATE_signed_char || encoding == DW_ATE_unsigned_char)) {
    std::string_view text = as_text(bytes);
    text = text.substr(0, text.find('\0'));
    const bool whole = text.size() <= max_text;
    return fmt::format("\"{}\"{}", escape_untrusted(text.substr(0, max_text)), whole ? "" : "...");
  }
  const uint64_t count = bytes.size() / size;
  if (level > 0 && count > 4) return fmt::format("[{} elements]", count);
  std::string out = "[";
  for (uint64_t i = 0; i < count && i < max_elements; ++i) {
    out += (i == 0 ? "" : ", ") + print(array, bytes.subspan(i * size, size), context, level + 1);
  }
  return out + (count > max_elements ? ", ...]" : "]");
}

std::string print_member(Dwarf_Die* member, Bytes whole, const Context& context, unsigned level) {
  uint64_t offset = number(member, DW_AT_data_member_location).value_or(0);
  const std::optional<uint64_t> bits = number(member, DW_AT_bit_size);
  const std::optional<uint64_t> size = size_of_value(member);
  if (!size) return "?";
  if (bits && *bits <= 64) {
    // DWARF 3 counts from the storage unit's high end, DWARF 4 from the start of the struct.
    uint64_t first = offset * 8;
    if (std::optional<uint64_t> at = number(member, DW_AT_data_bit_offset)) {
      first = *at;
    } else if (std::optional<uint64_t> from_top = number(member, DW_AT_bit_offset)) {
      first += *size * 8 - *from_top - *bits;
    }
    const std::optional<Bytes> around = subspan(whole, first / 8, (first % 8 + *bits + 7) / 8);
    if (!around || around->size() > 8) return "?";
    if (context.has_hole_in(*around)) return std::string(nowhere);
    const uint64_t value =
        little_endian(*around) >> (first % 8) & (*bits == 64 ? ~0ULL : (1ULL << *bits) - 1);
    std::optional<Dwarf_Die> type = plain_type_of(member);
    if (type && dwarf_tag(&*type) == DW_TAG_enumeration_type) return print_enumerator(&*type, value, *bits);
    return type ? print_base(&*type, value, *bits) : "?";
  }
  const std::optional<Bytes> bytes = subspan(whole, offset, *size);
  return bytes ? print(member, *bytes, context, level) : "?";
}

std::string print_members(Dwarf_Die* type, Bytes bytes, const Context& context, unsigned level) {
  if (level > 0) return "{...}";
  std::string out = "{";
  Dwarf_Die child;
  size_t count = 0;
  if (dwarf_child(type, &child) != 0) return "{}";
  do {
    if (dwarf_tag(&child) != DW_TAG_member) continue;
    if (count == max_members) {
      out += ", ...";
      break;
    }
    const std::string name = own_name(&child);
    out += fmt::format("{}{}{}", count == 0 ? "" : ", ", name.empty() ? "" : "." + name + " = ",
                       print_member(&child, bytes, context, level + 1));
    ++count;
  } while (dwarf_siblingof(&child, &child) == 0);
  return out + "}";
}

std::string print(Dwarf_Die* of, Bytes bytes, const Context& context, unsigned level) {
  std::optional<Dwarf_Die> type = plain_type_of(of);
  if (!type) return "?";
  const int tag = dwarf_tag(&*type);
  const bool one = tag == DW_TAG_pointer_type || tag == DW_TAG_base_type || tag == DW_TAG_enumeration_type;
  if (one && context.has_hole_in(bytes)) return std::string(nowhere);
  switch (tag) {
    case DW_TAG_pointer_type: {
      const uint64_t value = little_endian(bytes);
      if (value == 0) return "NULL";
      const std::string said = context.note ? context.note(value) : std::string();
      return said.empty() ? fmt::format("{:#x}", value) : fmt::format("{:#x} {}", value, said);
    }
    case DW_TAG_base_type:
      if (bytes.size() > 8) return fmt::format("{:#x} and {} bytes", little_endian(bytes), bytes.size() - 8);
      return print_base(&*type, little_endian(bytes), bytes.size() * 8);
    case DW_TAG_enumeration_type:
      return print_enumerator(&*type, little_endian(bytes), bytes.size() * 8);
    case DW_TAG_structure_type:
    case DW_TAG_class_type:
    case DW_TAG_union_type:
      return print_members(&*type, bytes, context, level);
    case DW_TAG_array_type:
      return print_array(&*type, bytes, context, level);
    default:
      return "?";
  }
}

}  // namespace

std::string type_name(Dwarf_Die* of) {
  return name_of_type(type_of(of), 0);
}

std::optional<uint64_t> size_of_value(Dwarf_Die* of) {
  std::optional<Dwarf_Die> type = plain_type_of(of);
  Dwarf_Word size = 0;
  if (!type || dwarf_aggregate_size(&*type, &size) != 0 || size == 0 || size > max_value) return std::nullopt;
  return size;
}

std::string print_value(Dwarf_Die* of, Bytes bytes, const std::function<std::string(uint64_t)>& note,
                        std::span<const Hole> holes) {
  return print(of, bytes, Context{note, holes, bytes.data()}, 0);
}

std::optional<Dwarf_Die> pointer_type_of(Dwarf_Die* of) {
  std::optional<Dwarf_Die> type = plain_type_of(of);
  return type && dwarf_tag(&*type) == DW_TAG_pointer_type ? type : std::nullopt;
}

}  // namespace kdk
