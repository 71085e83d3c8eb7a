// Layout: asks VMCOREINFO, then the added sources in order.
#include "core/kernel/layout.h"

#include <fmt/format.h>

#include "core/base/error.h"

namespace kdk {
namespace {

// The first source that answers.
template <typename T, typename Ask>
std::optional<T> first_answer(const std::vector<const Layout::TypeSource*>& sources, Ask&& ask) {
  for (const Layout::TypeSource* source : sources) {
    if (std::optional<T> answer = ask(*source)) return answer;
  }
  return std::nullopt;
}

std::string joined(std::string_view type, std::string_view path) {
  return fmt::format("{}.{}", type, path);
}

}  // namespace

std::optional<Layout::Field> Layout::field(std::string_view type, std::string_view path) const {
  std::optional<Field> typed =
      first_answer<Field>(sources_, [&](const TypeSource& source) { return source.field(type, path); });
  // VMCOREINFO is the kernel's own word on the offset; it has no member sizes.
  if (std::optional<uint64_t> offset = vmcoreinfo_.offset(joined(type, path))) {
    return Field{*offset, typed && typed->offset == *offset ? typed->size : 0};
  }
  return typed;
}

std::optional<Layout::Field> Layout::first_field(std::string_view type,
                                                 std::initializer_list<std::string_view> paths) const {
  for (std::string_view path : paths) {
    if (std::optional<Field> found = field(type, path)) return found;
  }
  return std::nullopt;
}

std::optional<uint64_t> Layout::offset(std::string_view type, std::string_view path) const {
  if (std::optional<uint64_t> offset = vmcoreinfo_.offset(joined(type, path))) return offset;
  std::optional<Field> found = field(type, path);
  return found ? std::optional(found->offset) : std::nullopt;
}

std::optional<uint64_t> Layout::size_of(std::string_view type) const {
  if (std::optional<uint64_t> size = vmcoreinfo_.size(type)) return size;
  return first_answer<uint64_t>(sources_, [&](const TypeSource& source) { return source.size_of(type); });
}

std::optional<int64_t> Layout::enumerator(std::string_view name) const {
  if (std::optional<uint64_t> number = vmcoreinfo_.number(name)) return static_cast<int64_t>(*number);
  return first_answer<int64_t>(sources_, [&](const TypeSource& source) { return source.enumerator(name); });
}

std::optional<uint64_t> Layout::array_length(std::string_view type, std::string_view path) const {
  if (std::optional<uint64_t> length = vmcoreinfo_.length(joined(type, path))) return length;
  return first_answer<uint64_t>(sources_,
                                [&](const TypeSource& source) { return source.array_length(type, path); });
}

uint64_t Layout::require_offset(std::string_view type, std::string_view path) const {
  if (std::optional<uint64_t> found = offset(type, path)) return *found;
  throw Error(Errc::missing, fmt::format("no layout for {}.{}", type, path));
}

std::optional<Layout::Field> BtfTypes::field(std::string_view type, std::string_view path) const {
  std::optional<Btf::Member> member = btf_.member(type, path);
  // A bit field has no byte offset that a reader of whole values could use.
  if (!member || member->bitfield_size != 0) return std::nullopt;
  return Layout::Field{member->offset(), member->size};
}
std::optional<uint64_t> BtfTypes::size_of(std::string_view type) const {
  return btf_.size_of(type);
}
std::optional<int64_t> BtfTypes::enumerator(std::string_view name) const {
  return btf_.enumerator(name);
}
std::optional<uint64_t> BtfTypes::array_length(std::string_view type, std::string_view path) const {
  return btf_.array_length(type, path);
}

}  // namespace kdk
