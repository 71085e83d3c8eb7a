// Elements of the kernel's lists: rings of list_head, chains of hlist_node, and structs that point to the
// next one of their kind.
#include <fmt/format.h>

#include <unordered_set>

#include "capture/scrub/eraser.h"
#include "core/base/error.h"

namespace kdk {
namespace {

constexpr size_t most_elements = size_t{1} << 20;

// Which pointer leads on from a link, and where the chain ends.
struct Chain {
  std::string_view first, next;
  bool ring = false;
};

Chain chain_of(TypedMemory& types, TypeRef head) {
  const std::string name(types.describe(head).name);
  if (name == "list_head") return {"next", "next", true};
  if (name == "hlist_head") return {"first", "next", false};
  if (name == "hlist_nulls_head") return {"first", "next", false};
  if (name == "llist_head") return {"first", "next", false};
  throw Error(Errc::unsupported,
              fmt::format("the head is a {}, no list_head, hlist_head, hlist_nulls_head or llist_head",
                          name.empty() ? "type without a name" : name));
}

void walk(const ScrubRule& rule, Eraser& eraser, const TypedPlace& head, TypeRef element, uint64_t offset,
          TypeRef link) {
  TypedMemory& types = eraser.types();
  const Chain chain = chain_of(types, head.type);
  std::unordered_set<uint64_t> seen;
  std::optional<uint64_t> at = types.number(head, chain.first);
  // The end of an hlist_nulls is an odd number.
  while (at && *at != 0 && (*at & 1) == 0 && !(chain.ring && *at == head.at.value)) {
    if (!seen.insert(*at).second) throw Error(Errc::format, "the list is circular");
    if (seen.size() > most_elements)
      throw Error(Errc::unsupported, fmt::format("the list has more than {} elements", most_elements));
    if (!eraser.item([&] { eraser.erase_member(rule, {{*at - offset}, element}); })) return;
    at = types.number({{*at}, link}, chain.next);
  }
}

void walk_next(const ScrubRule& rule, Eraser& eraser, TypedPlace first, TypeRef element) {
  TypedMemory& types = eraser.types();
  if (types.describe(first.type).kind == Btf::Type::Kind::pointer) {
    const std::optional<TypedPlace> target = types.pointee(first);
    if (!target) return;
    first = *target;
  }
  std::unordered_set<uint64_t> seen;
  std::optional<uint64_t> at = first.at.value;
  while (at && *at != 0) {
    if (!seen.insert(*at).second) return;  // a ring without a head: back at the start
    if (seen.size() > most_elements)
      throw Error(Errc::unsupported, fmt::format("the list has more than {} elements", most_elements));
    if (!eraser.item([&] { eraser.erase_member(rule, {{*at}, element}); })) return;
    at = types.number({{*at}, element}, rule.next);
  }
}

}  // namespace

void scrub_list(const ScrubRule& rule, Eraser& eraser) {
  TypedMemory& types = eraser.types();
  const TypedMemory::Variable variable = types.variable(rule.symbol);
  std::optional<TypeRef> type = variable.type;
  if (!rule.type.empty()) {
    type = types.require_type(rule.type);
  } else if (!type && rule.head_member.empty()) {
    // What a variable that heads a list is, can be told by how its elements hang together.
    type = rule.next.empty() ? types.find_type("list_head") : types.find_type(rule.element);
  }
  if (!type) throw Error(Errc::missing, "the kernel does not say of what type the head is: give head_type");
  const TypeRef element = types.require_type(rule.element);
  std::optional<Btf::Member> link;
  if (!rule.link.empty()) {
    link = element.btf->member(element.id, rule.link);
    if (!link) throw Error(Errc::missing, fmt::format("{} has no member {}", rule.element, rule.link));
  }
  for (VirtAddr at : variable.at) {
    if (rule.pointer) {
      const std::optional<VirtAddr> to = types.memory().pointer(at);
      if (!to)
        throw Error(Errc::fault, fmt::format("the pointer at {:#x} cannot be read", at.value), at.value);
      if (to->value == 0) continue;
      at = *to;
    }
    for (const TypedPlace& place : types.follow({at, *type}, rule.head_member)) {
      TypedPlace head = place;
      std::vector<TypedPlace> heads{head};
      if (const Btf::Type array = types.describe(head.type); array.kind == Btf::Type::Kind::array) {
        TypeRef one{head.type.btf, array.target};
        const uint64_t size = types.describe(one).size;
        if (array.count > most_elements) throw Error(Errc::unsupported, "an array of too many lists");
        heads.clear();
        for (uint64_t i = 0; i < array.count; ++i) heads.push_back({head.at + i * size, one});
      }
      for (const TypedPlace& each : heads) {
        if (link) {
          walk(rule, eraser, each, element, link->offset(), {element.btf, link->type_id});
        } else {
          walk_next(rule, eraser, each, element);
        }
      }
    }
  }
}

}  // namespace kdk
