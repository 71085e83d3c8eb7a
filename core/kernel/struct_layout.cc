#include "core/kernel/struct_layout.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/base/error.h"
#include "core/base/log.h"

namespace kdk {
namespace {

constexpr int most_nesting = 16;  // of anonymous structs

LayoutMember describe(CTypes& types, CType type, const std::string& name, uint64_t bit_offset,
                      uint32_t bits) {
  LayoutMember out;
  out.name = name;
  out.type = types.name(type);
  out.declaration = types.name(type, name);
  out.offset = bit_offset / 8;
  out.size = types.size(type);
  if (bits != 0) {
    out.bit = static_cast<unsigned>(bit_offset % 8);
    out.bits = bits;
    out.declaration += fmt::format(" : {}", bits);
  }
  return out;
}

// `covered` collects [begin, end) in bits of everything that is not a hole.
void add_members(CTypes& types, CType type, uint64_t base_bits, int depth, std::vector<LayoutMember>& out,
                 std::vector<std::pair<uint64_t, uint64_t>>& covered) {
  const CType whole = types.resolve(type);
  const CTypes::Record record = types.declared(whole);
  for (const CTypes::Record::Field& field : record.fields) {
    const Btf::Member& m = field.member;
    const CType member_type{whole.btf, m.type_id, 0};
    const uint64_t at = base_bits + m.bit_offset;
    LayoutMember member = describe(types, member_type, escape_untrusted(field.name), at, m.bitfield_size);
    const CTypes::Kind kind = types.record(member_type).kind;
    const bool nested = kind == CTypes::Kind::structure || kind == CTypes::Kind::union_;
    if (field.name.empty() && nested && depth < most_nesting) {
      add_members(types, member_type, at, depth + 1, member.children, covered);
    } else {
      covered.emplace_back(at, at + (m.bitfield_size != 0 ? m.bitfield_size : member.size * 8));
    }
    out.push_back(std::move(member));
  }
}

}  // namespace

StructLayout layout_of(CTypes& types, CType type, const std::vector<std::string>& members) {
  StructLayout out;
  out.type = types.name(type);
  const CTypes::Record declared = types.declared(type), record = types.record(type);
  out.size = record.size;
  if (declared.kind == CTypes::Kind::definition) out.stands_for = types.name({type.btf, declared.target, 0});
  switch (record.kind) {
    case CTypes::Kind::structure:
      out.kind = "struct";
      break;
    case CTypes::Kind::union_:
      out.kind = "union";
      break;
    case CTypes::Kind::enumeration:
      out.kind = "enum";
      break;
    default:
      out.kind = declared.kind == CTypes::Kind::definition ? "typedef" : "number";
  }
  for (const CTypes::Record::Enumerator& each : record.enumerators)
    out.enumerators.push_back({escape_untrusted(each.name), each.value});
  for (const std::string& path : members) {
    const auto found = types.member(type, path);
    if (!found)
      throw Error(Errc::missing, fmt::format("{} has no member {}", out.type, escape_untrusted(path)));
    out.members.push_back(describe(types, found->type, path, found->bit_offset, found->bitfield_size));
  }
  if (!members.empty()) return out;
  std::vector<std::pair<uint64_t, uint64_t>> covered;
  add_members(types, type, 0, 0, out.members, covered);
  std::ranges::sort(covered);
  uint64_t end = 0, holes = 0;
  for (const auto& [first, last] : covered) {
    if (first > end) holes += first - end;
    end = std::max(end, last);
  }
  if (!covered.empty() && out.size * 8 > end) holes += out.size * 8 - end;
  out.holes_bytes = holes / 8;
  return out;
}

}  // namespace kdk
