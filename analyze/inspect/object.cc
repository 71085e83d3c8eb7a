#include "analyze/inspect/object.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "analyze/inspect/types/walks.h"
#include "core/base/error.h"
#include "core/base/log.h"
#include "core/kernel/percpu.h"

namespace kdk {
namespace {

constexpr size_t most_problems = 32;
constexpr size_t most_members = size_t{1} << 18;  // of one list

}  // namespace

void Problems::add(std::string sentence) {
  if (sentences_.size() == most_problems) sentences_.emplace_back("more of the same is not shown");
  if (sentences_.size() < most_problems) sentences_.push_back(std::move(sentence));
}

std::optional<Btf::Member> Object::find(std::string_view path) const {
  return type_.btf->member(type_.id, path);
}

bool Object::has(std::string_view path) const {
  return find(path).has_value();
}

std::optional<VirtAddr> Object::place(std::string_view path) const {
  const auto member = find(path);
  return member ? std::optional(at_ + member->offset()) : std::nullopt;
}

std::optional<uint64_t> Object::number(std::string_view path) const {
  const auto member = find(path);
  if (!member) return std::nullopt;
  const unsigned shift = static_cast<unsigned>(member->bit_offset % 8), bits = member->bitfield_size;
  const uint64_t size = bits != 0 ? (shift + bits + 7) / 8 : member->size;
  std::array<uint8_t, 8> bytes{};
  if (size == 0 || size > bytes.size()) return std::nullopt;
  if (!memory_->memory().read(at_ + member->offset(), MutableBytes(bytes).first(size))) return std::nullopt;
  const uint64_t value = *load<ul64>(bytes) >> shift;
  return bits == 0 || bits == 64 ? value : value & ((uint64_t{1} << bits) - 1);
}

std::optional<int64_t> Object::signed_number(std::string_view path) const {
  const auto member = find(path);
  const auto value = number(path);
  if (!value || !member) return std::nullopt;
  const uint64_t bits = member->bitfield_size != 0 ? member->bitfield_size : member->size * 8;
  const unsigned unused = static_cast<unsigned>(64 - bits);
  return static_cast<int64_t>(*value << unused) >> unused;
}

std::optional<uint64_t> Object::first_number(std::initializer_list<std::string_view> paths) const {
  for (const std::string_view path : paths) {
    if (has(path)) return number(path);
  }
  return std::nullopt;
}

std::optional<VirtAddr> Object::pointer(std::string_view path) const {
  const auto value = number(path);
  return value && *value != 0 ? std::optional(VirtAddr{*value}) : std::nullopt;
}

std::optional<Object> Object::member(std::string_view path) const {
  const auto member = find(path);
  if (!member) return std::nullopt;
  return Object(*memory_, {type_.btf, member->type_id}, at_ + member->offset());
}

std::optional<Object> Object::target(std::string_view path) const {
  const auto member = find(path);
  const auto to = pointer(path);
  if (!member || !to) return std::nullopt;
  TypeRef type{type_.btf, member->type_id};
  const Btf::Type described = memory_->describe(type);
  if (described.kind != Btf::Type::Kind::pointer) return std::nullopt;
  TypeRef pointee{type.btf, described.target};
  memory_->describe(pointee);  // a struct that is only declared becomes the one of that name
  return Object(*memory_, pointee, *to);
}

uint64_t Object::count(std::string_view path) const {
  const auto member = find(path);
  if (!member) return 0;
  TypeRef type{type_.btf, member->type_id};
  const Btf::Type described = memory_->describe(type);
  return described.kind == Btf::Type::Kind::array ? described.count : 0;
}

std::optional<Object> Object::element(std::string_view path, uint64_t index) const {
  const auto member = find(path);
  if (!member) return std::nullopt;
  TypeRef type{type_.btf, member->type_id};
  const Btf::Type described = memory_->describe(type);
  if (described.kind != Btf::Type::Kind::array || index >= described.count) return std::nullopt;
  TypeRef element{type.btf, described.target};
  const uint64_t size = memory_->describe(element).size;
  return Object(*memory_, element, at_ + member->offset() + index * size);
}

std::string Object::text(std::string_view path, size_t most) const {
  const auto member = find(path);
  if (!member) return {};
  const uint64_t size = member->size != 0 ? std::min<uint64_t>(member->size, most) : most;
  return escape_untrusted(memory_->memory().string(at_ + member->offset(), size).value_or(""));
}

std::string Object::pointed_text(std::string_view path, size_t most) const {
  const auto to = pointer(path);
  return to ? escape_untrusted(memory_->memory().string(*to, most).value_or("")) : std::string();
}

bool Objects::has_type(std::string_view type) {
  const Btf* btf = types_.types();
  return btf != nullptr && btf->find(type).has_value();
}

TypeRef Objects::require(std::string_view type) {
  const Btf* btf = types_.types();
  if (btf == nullptr) throw Error(Errc::missing, "the dump has no types (BTF)");
  if (const auto id = btf->find(type)) return {btf, *id};
  return types_.require_type(type);
}

Object Objects::at(std::string_view type, VirtAddr at) {
  return {types_, require(type), at};
}

Object Objects::container(std::string_view type, std::string_view link, VirtAddr node) {
  const TypeRef found = require(type);
  const auto member = found.btf->member(found.id, link);
  if (!member) throw Error(Errc::missing, fmt::format("no layout for {}.{}", type, link));
  return {types_, found, node - member->offset()};
}

VirtAddr Objects::require_symbol(std::string_view name) {
  if (const auto found = kernel_.symbol(name)) return *found;
  throw Error(Errc::missing, fmt::format("the symbol {} is not known", name));
}

std::optional<Object> Objects::per_cpu(std::string_view type, std::string_view symbol, unsigned cpu) {
  const auto place = per_cpu_address(kernel_, symbol, cpu);
  return place ? std::optional(at(type, *place)) : std::nullopt;
}

std::vector<unsigned> Objects::cpus() {
  if (auto possible = cpu_mask(kernel_, "__cpu_possible_mask")) return *std::move(possible);
  throw Error(Errc::missing, "the CPUs are not known: __cpu_possible_mask cannot be read");
}

std::optional<std::vector<unsigned>> Objects::cpu_list(const Object& object, std::string_view path) {
  auto mask = object.place(path);
  if (!mask) return std::nullopt;
  if (object.count(path) == 0 && !object.has(std::string(path) + ".bits")) {
    const auto to = object.pointer(path);
    if (!to) return std::nullopt;
    mask = *to;
  }
  const std::vector<unsigned> possible = cpus();
  if (possible.empty()) return std::nullopt;
  std::vector<uint8_t> bits(possible.back() / 8 + 1);
  if (!memory().read(*mask, bits)) return std::nullopt;
  std::vector<unsigned> out;
  for (const unsigned cpu : possible) {
    if ((bits[cpu / 8] >> (cpu % 8) & 1) != 0) out.push_back(cpu);
  }
  return out;
}

std::vector<Object> Objects::list(VirtAddr head, std::string_view type, std::string_view link,
                                  std::string_view what, Problems& problems) {
  std::vector<Object> out;
  const WalkEnd end = walk_list(memory(), head, most_members, [&](VirtAddr node) {
    // A link into nowhere is no member; the walk says so.
    if (memory().u64(node)) out.push_back(container(type, link, node));
    return true;
  });
  if (end != WalkEnd::complete) problems.add(fmt::format("{} ended early: {}", what, to_string(end)));
  return out;
}

std::vector<Object> Objects::hash_list(VirtAddr head, std::string_view type, std::string_view link,
                                       std::string_view what, Problems& problems) {
  std::vector<Object> out;
  const Walk walk = walk_linked(types_, head, "hlist_nulls_head");
  for (const WalkItem& item : walk.items) {
    if (memory().u64({item.value})) out.push_back(container(type, link, {item.value}));
  }
  if (!walk.problem.empty()) problems.add(fmt::format("{}: {}", what, walk.problem));
  return out;
}

std::vector<Object> Objects::tree(VirtAddr root, std::string_view type, std::string_view link,
                                  std::string_view what, Problems& problems) {
  std::vector<Object> out;
  const Walk walk = walk_rbtree(types_, root);
  for (const WalkItem& item : walk.items) out.push_back(container(type, link, {item.value}));
  if (!walk.problem.empty()) problems.add(fmt::format("{}: {}", what, walk.problem));
  return out;
}

std::string Objects::symbol_text(uint64_t address) {
  const auto hit = kernel_.symbols().lookup(address);
  if (!hit) return fmt::format("{:#018x}", address);
  std::string out = escape_untrusted(hit->symbol.name);
  if (hit->offset != 0) out += fmt::format("+{:#x}", hit->offset);
  if (!hit->symbol.module.empty()) out += fmt::format(" [{}]", escape_untrusted(hit->symbol.module));
  return out;
}

std::string cpu_ranges(const std::vector<unsigned>& cpus) {
  std::string out;
  for (size_t i = 0; i < cpus.size();) {
    size_t end = i + 1;
    while (end < cpus.size() && cpus[end] == cpus[end - 1] + 1) ++end;
    out += fmt::format("{}{}", out.empty() ? "" : ",", cpus[i]);
    if (end - i > 1) out += fmt::format("-{}", cpus[end - 1]);
    i = end;
  }
  return out.empty() ? "none" : out;
}

}  // namespace kdk
