// Types: layouts from BTF, and what VMCOREINFO alone tells of a dump without it.
#include <fmt/format.h>

#include "core/kernel/struct_layout.h"
#include "library/handle.h"

using namespace kdk;

namespace {

CType require_type(CTypes& types, const char* name) {
  if (const auto type = types.named(name)) return *type;
  not_found(fmt::format("the kernel has no type {}", name));
}

void add_members(Arena& arena, const std::vector<LayoutMember>& members, uint32_t depth,
                 std::vector<const kdumpkit_member*>& items) {
  for (const LayoutMember& member : members) {
    kdumpkit_member& item = arena.make<kdumpkit_member>();
    item.name = arena.text(member.name);
    item.type = arena.text(member.type);
    item.declaration = arena.text(member.declaration);
    item.offset = member.offset;
    item.size = member.size;
    item.bit = member.bit;
    item.bits = member.bits;
    item.depth = depth;
    items.push_back(&item);
    add_members(arena, member.children, depth + 1, items);
  }
}

void fill(Owned<kdumpkit_type>& out, const StructLayout& layout) {
  Arena& arena = out.arena;
  out.name = arena.text(layout.type);
  out.kind = arena.text(layout.kind);
  out.stands_for = arena.text(layout.stands_for);
  out.size = layout.size;
  out.holes = layout.holes_bytes;
  std::vector<const kdumpkit_member*> members, enumerators;
  add_members(arena, layout.members, 0, members);
  for (const StructLayout::Enumerator& each : layout.enumerators) {
    kdumpkit_member& item = arena.make<kdumpkit_member>();
    item.name = arena.text(each.name);
    item.type = item.declaration = "";
    item.value = each.value;
    enumerators.push_back(&item);
  }
  out.member_count = members.size();
  out.members = arena.array(members);
  out.enumerator_count = enumerators.size();
  out.enumerators = arena.array(enumerators);
}

// VMCOREINFO and BTF have names without these words.
std::string_view bare(std::string_view type) {
  for (const std::string_view tag : {"struct ", "union ", "enum "}) {
    if (type.starts_with(tag)) return type.substr(tag.size());
  }
  return type;
}

// A number that the layouts have, or else the types: `ask_layout` and `ask_types` answer it, or with nullopt.
template <typename T, typename AskLayout, typename AskTypes>
int find_number(kdumpkit_dump* dump, T* result, kdumpkit_error** error, AskLayout&& ask_layout,
                AskTypes&& ask_types) noexcept {
  if (result == nullptr) return store_argument(error, "the result");
  *result = 0;
  if (dump == nullptr) return store_argument(error, "the dump");
  return guarded(error, dump->file, [&] {
    std::optional<T> found = ask_layout(dump->kernel().layout());
    // Without types nobody can tell whether the kernel has it.
    if (!found) found = ask_types(dump->types());
    if (!found) not_found("the kernel has none of that name");
    *result = *found;
  });
}

}  // namespace

int kdumpkit_dump_type(kdumpkit_dump* dump, const char* name, kdumpkit_type** type, kdumpkit_error** error) {
  if (type != nullptr) *type = nullptr;
  if (name == nullptr) return store_argument(error, "the name");
  return make_result(dump, type, error, [&](Owned<kdumpkit_type>& out) {
    CTypes& types = dump->types();
    fill(out, layout_of(types, require_type(types, name), {}));
  });
}

int kdumpkit_dump_member(kdumpkit_dump* dump, const char* type, const char* path, kdumpkit_type** member,
                         kdumpkit_error** error) {
  if (member != nullptr) *member = nullptr;
  if (type == nullptr || path == nullptr) return store_argument(error, "the name");
  return make_result(dump, member, error, [&](Owned<kdumpkit_type>& out) {
    CTypes& types = dump->types();
    const CType whole = require_type(types, type);
    if (!types.member(whole, path)) not_found(fmt::format("{} has no member {}", types.name(whole), path));
    fill(out, layout_of(types, whole, {path}));
  });
}

void kdumpkit_type_free(kdumpkit_type* type) {
  free_owned(type);
}

int kdumpkit_dump_type_size(kdumpkit_dump* dump, const char* type, uint64_t* size, kdumpkit_error** error) {
  if (size != nullptr) *size = 0;
  if (type == nullptr) return store_argument(error, "the name");
  return find_number(
      dump, size, error, [&](const Layout& layout) { return layout.size_of(bare(type)); },
      [&](CTypes& types) {
        const auto named = types.named(type);
        return named ? std::optional(types.size(*named)) : std::nullopt;
      });
}

int kdumpkit_dump_member_offset(kdumpkit_dump* dump, const char* type, const char* path, uint64_t* offset,
                                kdumpkit_error** error) {
  if (offset != nullptr) *offset = 0;
  if (type == nullptr || path == nullptr) return store_argument(error, "the name");
  return find_number(
      dump, offset, error, [&](const Layout& layout) { return layout.offset(bare(type), path); },
      [&](CTypes& types) -> std::optional<uint64_t> {
        const auto named = types.named(type);
        const auto member = named ? types.member(*named, path) : std::nullopt;
        return member ? std::optional(member->bit_offset / 8) : std::nullopt;
      });
}

int kdumpkit_dump_enumerator(kdumpkit_dump* dump, const char* name, int64_t* value, kdumpkit_error** error) {
  if (value != nullptr) *value = 0;
  if (name == nullptr) return store_argument(error, "the name");
  return find_number(
      dump, value, error, [&](const Layout& layout) { return layout.enumerator(name); },
      [](CTypes&) { return std::optional<int64_t>(); });
}
