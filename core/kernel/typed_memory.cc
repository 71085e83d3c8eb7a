#include "core/kernel/typed_memory.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <unordered_set>

#include "core/base/error.h"
#include "core/kernel/percpu.h"

namespace kdk {
namespace {

constexpr size_t most_places = size_t{1} << 20;  // that one path may lead to
constexpr uint64_t most_btf_bytes = 16 << 20;    // of one module; real: some 100 KiB

Error too_many() {
  return Error(Errc::unsupported, fmt::format("leads to more than {} places", most_places));
}

Error unreadable(VirtAddr at, ReadStatus status) {
  return Error(Errc::fault, fmt::format("address {:#018x}: {}", at.value, to_string(status)), at.value);
}

// One step of a path: a member, and which of its elements.
struct Step {
  std::string_view name;
  std::vector<uint64_t> indexes;
};

std::vector<Step> steps_of(std::string_view path) {
  std::vector<Step> steps;
  while (!path.empty()) {
    const size_t dot = path.find('.');
    std::string_view part = path.substr(0, dot);
    Step step{part.substr(0, part.find('[')), {}};
    part.remove_prefix(step.name.size());
    while (part.starts_with('[')) {
      uint64_t index = 0;
      const auto [end, error] = std::from_chars(part.data() + 1, part.data() + part.size(), index);
      if (error != std::errc() || end == part.data() + part.size() || *end != ']')
        throw Error(Errc::unsupported, fmt::format("\"{}\" is no index", part));
      step.indexes.push_back(index);
      part.remove_prefix(static_cast<size_t>(end - part.data()) + 1);
    }
    steps.push_back(std::move(step));
    path = dot == std::string_view::npos ? std::string_view() : path.substr(dot + 1);
  }
  return steps;
}

}  // namespace

const ModuleList& TypedMemory::modules() {
  if (!modules_listed_) {
    modules_listed_ = true;
    modules_ = list_modules(kernel_);
  }
  return modules_;
}

// CONFIG_DEBUG_INFO_BTF_MODULES. Linux commit 36e68442d1af ("bpf: Load and verify kernel module BTFs") (in
// v5.11): struct module has btf_data and btf_data_size. Out-of-tree modules of v6.11 and later bring a base
// of their own (btf_base_data), which the kernel merges into what btf_data says; their types are not read
// here.
void TypedMemory::load_module_types() {
  if (module_types_loaded_) return;
  module_types_loaded_ = true;
  const Btf* base = types();
  if (base == nullptr) return;
  Layout& layout = kernel_.layout();
  const auto data = layout.field("module", "btf_data"), size = layout.field("module", "btf_data_size");
  const auto own_base = layout.field("module", "btf_base_data");
  if (!data || !size) return;
  for (const Module& module : modules().modules) {
    const VirtAddr at{module.address};
    const std::optional<VirtAddr> bytes = memory().pointer(at + data->offset);
    const uint32_t length = memory().u32(at + size->offset).value_or(0);
    if (!bytes || bytes->value == 0 || length == 0 || length > most_btf_bytes) continue;
    if (own_base && memory().u64(at + own_base->offset).value_or(0) != 0) continue;
    std::vector<uint8_t> raw(length);
    if (!memory().read(*bytes, raw)) continue;
    try {
      module_types_.push_back(Btf::parse(std::move(raw), base));
    } catch (const Error&) {
      // a list item: the types of one module; who misses one of them is told so
    }
  }
}

std::vector<const Btf*> TypedMemory::all_types() {
  std::vector<const Btf*> all;
  if (types() == nullptr) return all;
  all.push_back(types());
  load_module_types();
  for (const std::unique_ptr<Btf>& one : module_types_) all.push_back(one.get());
  return all;
}

std::optional<TypeRef> TypedMemory::find_type(std::string_view name) {
  const Btf* base = types();
  if (base == nullptr) return std::nullopt;
  if (const auto id = base->find(name)) return TypeRef{base, *id};
  load_module_types();
  for (const std::unique_ptr<Btf>& types : module_types_) {
    if (const auto id = types->find(name)) return TypeRef{types.get(), *id};
  }
  return std::nullopt;
}

TypeRef TypedMemory::require_type(std::string_view name) {
  if (const auto found = find_type(name)) return *found;
  if (types() == nullptr) throw Error(Errc::missing, "the dump has no types (BTF)");
  throw Error(Errc::missing, fmt::format("the kernel has no type {}", name));
}

Btf::Type TypedMemory::describe(TypeRef& type) {
  Btf::Type out = type.btf->type(type.id).value_or(Btf::Type{});
  if (out.kind == Btf::Type::Kind::other && !out.name.empty()) {
    if (const auto whole = find_type(out.name)) {
      type = *whole;
      out = type.btf->type(type.id).value_or(Btf::Type{});
    }
  }
  return out;
}

std::optional<TypeRef> TypedMemory::variable_type(const std::string& name) {
  const Btf* base = types();
  if (base == nullptr) return std::nullopt;
  if (const auto id = base->variable(name)) return TypeRef{base, *id};
  for (const std::unique_ptr<Btf>& types : module_types_) {
    if (const auto id = types->variable(name)) return TypeRef{types.get(), *id};
  }
  return std::nullopt;
}

// As the symbol tables have it; a per-CPU variable's address is still an offset.
std::vector<VirtAddr> TypedMemory::addresses(const std::string& name, uint64_t& size) {
  const auto look = [&] {
    std::vector<VirtAddr> found;
    for (const Symbol& symbol : kernel_.symbols().find_all(name)) {
      if (symbol.text()) continue;
      found.push_back({symbol.address});
      const auto hit = kernel_.symbols().lookup(symbol.address);
      const bool whole = kernel_.kallsyms().all || !symbol.module.empty();
      // Of several at one address lookup() may name another; how far it is to the next one is the same.
      if (whole && hit && hit->offset == 0) size = std::max(size, hit->symbol.size);
    }
    return found;
  };
  std::vector<VirtAddr> found = look();
  if (found.empty()) {
    if (const auto address = kernel_.vmcoreinfo().symbol(name)) return {{*address}};
    if (!module_symbols_) {
      module_symbols_ = true;
      modules_ = read_modules(kernel_);
      modules_listed_ = true;
      found = look();
    }
  }
  return found;
}

TypedMemory::Variable TypedMemory::variable(const std::string& name) {
  Variable result;
  result.at = addresses(name, result.size);
  if (result.at.empty()) {
    std::string why = fmt::format("the kernel has no variable {}", name);
    if (!kernel_.kallsyms().found) {
      why += fmt::format(", as far as can be told: {}", kernel_.kallsyms().why_not);
    } else if (!kernel_.kallsyms().all) {
      why += ", as far as can be told: its kallsyms names functions only (CONFIG_KALLSYMS_ALL=n)";
    }
    throw Error(Errc::missing, why);
  }
  result.type = variable_type(name);
  const auto begin = kernel_.symbol("__per_cpu_start"), end = kernel_.symbol("__per_cpu_end");
  if (!begin || !end) return result;
  std::vector<VirtAddr> all;
  for (const VirtAddr at : result.at) {
    if (at < *begin || at >= *end) {
      all.push_back(at);
      continue;
    }
    const auto cpus = cpu_mask(kernel_, "__cpu_possible_mask");
    if (!cpus)
      throw Error(Errc::missing, fmt::format("{} is a per-CPU variable, and the CPUs are unknown", name));
    for (const unsigned cpu : *cpus) {
      if (const auto offset = per_cpu_offset(kernel_, cpu)) all.push_back(at + *offset);
    }
  }
  result.at = std::move(all);
  return result;
}

uint64_t TypedMemory::value(const TypedPlace& place) {
  TypeRef type = place.type;
  const uint64_t size = place.bits != 0 ? (place.bit + place.bits + 7) / 8 : describe(type).size;
  if (size == 0 || size > 8) throw Error(Errc::unsupported, "is neither a number nor a pointer");
  std::array<uint8_t, 8> bytes{};
  const ReadResult read = memory().read(place.at, MutableBytes(bytes).first(size));
  if (!read) throw unreadable({read.address}, read.status);
  uint64_t number = *load<ul64>(bytes);
  if (place.bits != 0) number = (number >> place.bit) & ((uint64_t{1} << place.bits) - 1);
  return number;
}

std::optional<TypedPlace> TypedMemory::pointee(const TypedPlace& place) {
  TypeRef type = place.type;
  const Btf::Type described = describe(type);
  if (described.kind != Btf::Type::Kind::pointer) throw Error(Errc::unsupported, "is no pointer");
  const uint64_t to = value(place);
  if (to == 0) return std::nullopt;
  return TypedPlace{{to}, {type.btf, described.target}};
}

std::vector<TypedPlace> TypedMemory::follow(const TypedPlace& from, std::string_view path) {
  using Kind = Btf::Type::Kind;
  std::vector<TypedPlace> places{from};
  // Replaces each array of `places` by its elements, or the one with this index.
  const auto expand = [&](std::optional<uint64_t> index) {
    std::vector<TypedPlace> out;
    for (TypedPlace& place : places) {
      const Btf::Type type = describe(place.type);
      if (type.kind != Kind::array && !(index && type.kind == Kind::pointer)) {
        if (index) throw Error(Errc::unsupported, "an index into what is no array");
        out.push_back(place);
        continue;
      }
      TypeRef element{place.type.btf, type.target};
      const uint64_t size = describe(element).size;
      VirtAddr base = place.at;
      if (type.kind == Kind::pointer) {
        const std::optional<TypedPlace> target = pointee(place);
        if (!target) continue;
        base = target->at;
      } else if (index && type.count != 0 && *index >= type.count) {
        throw Error(Errc::missing, fmt::format("there is no element {} of {}", *index, type.count));
      }
      if (size == 0) throw Error(Errc::unsupported, "elements of unknown size");
      const uint64_t first = index.value_or(0), end = index ? *index + 1 : type.count;
      if (end - first > most_places - out.size()) throw too_many();
      for (uint64_t i = first; i < end; ++i) out.push_back({base + i * size, element});
    }
    places = std::move(out);
  };
  for (const Step& step : steps_of(path)) {
    bool arrays = true;
    for (int depth = 0; arrays && depth < 8; ++depth) {  // arrays of arrays
      expand(std::nullopt);
      arrays = std::ranges::any_of(
          places, [&](TypedPlace& place) { return describe(place.type).kind == Kind::array; });
    }
    std::vector<TypedPlace> out;
    for (TypedPlace place : places) {
      Btf::Type type = describe(place.type);
      if (type.kind == Kind::pointer) {
        const std::optional<TypedPlace> target = pointee(place);
        if (!target) continue;
        place = *target;
        type = describe(place.type);
      }
      const auto member =
          type.kind == Kind::aggregate ? place.type.btf->member(place.type.id, step.name) : std::nullopt;
      if (!member) {
        throw Error(Errc::missing,
                    fmt::format("{} has no member {}", type.name.empty() ? "it" : type.name, step.name));
      }
      TypedPlace next{place.at + member->offset(), {place.type.btf, member->type_id}};
      if (member->bitfield_size != 0) {
        next.bit = static_cast<unsigned>(member->bit_offset % 8);
        next.bits = member->bitfield_size;
        if (next.bit + next.bits > 64) throw Error(Errc::unsupported, "a bit field across words");
      }
      out.push_back(next);
    }
    places = std::move(out);
    for (const uint64_t index : step.indexes) expand(index);
  }
  return places;
}

std::optional<TypedPlace> TypedMemory::follow_one(const TypedPlace& from, std::string_view path) {
  const std::vector<TypedPlace> places = follow(from, path);
  if (places.size() > 1)
    throw Error(Errc::unsupported, fmt::format("{} leads to {} places", path, places.size()));
  return places.empty() ? std::nullopt : std::optional(places.front());
}

std::optional<uint64_t> TypedMemory::number(const TypedPlace& from, std::string_view path) {
  const std::optional<TypedPlace> place = follow_one(from, path);
  return place ? std::optional(value(*place)) : std::nullopt;
}

void walk_tree(TypedMemory& memory, VirtAddr root, size_t most, const std::function<void(VirtAddr)>& visit) {
  const TypeRef node_type = memory.require_type("rb_node");
  const auto first = memory.number({root, memory.require_type("rb_root")}, "rb_node");
  std::unordered_set<uint64_t> seen;
  std::vector<uint64_t> ahead;
  if (first && *first != 0) ahead.push_back(*first);
  while (!ahead.empty()) {
    const TypedPlace node{{ahead.back()}, node_type};
    ahead.pop_back();
    if (!seen.insert(node.at.value).second) throw Error(Errc::format, "the tree is circular");
    if (seen.size() > most) throw Error(Errc::format, fmt::format("the tree has more than {} nodes", most));
    for (const std::string_view side : {"rb_right", "rb_left"}) {
      if (const auto next = memory.number(node, side); next && *next != 0) ahead.push_back(*next);
    }
    visit(node.at);
  }
}

}  // namespace kdk
