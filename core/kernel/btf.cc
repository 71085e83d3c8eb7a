#include "core/kernel/btf.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <functional>
#include <utility>

#include "core/kernel/btf_format.h"
#include "core/kernel/bucket_index.h"

namespace kdk {
namespace {

using namespace btf;

constexpr uint64_t max_btf_bytes = uint64_t{256} << 20;  // real: 1 to 15 MB
constexpr int max_modifiers = 64;                        // const volatile typedef ... in a row
constexpr int max_nesting = 32;                          // anonymous structs inside each other
constexpr size_t max_members_visited = 1 << 14;  // per look-up; the largest real structs have some 500

// Of the index of types by name; a kernel has some thirty thousand that have one.
constexpr size_t name_buckets = size_t{1} << 14;
uint16_t name_bucket(std::string_view name) {
  return static_cast<uint16_t>(std::hash<std::string_view>{}(name) % name_buckets);
}

}  // namespace

struct Btf::Impl {
  std::vector<uint8_t> data;
  const Impl* base = nullptr;
  Bytes types;
  std::string_view strings;
  uint32_t first_id = 1;           // of the types in this BTF
  uint32_t first_string = 0;       // string offset that this BTF's own strings start at
  std::vector<uint32_t> offsets;   // in `types`, of id first_id + i
  mutable BucketIndex type_names;  // by name_bucket(), of id first_id + i
  std::vector<uint32_t> enum_ids;
  mutable std::optional<bool> signs_told;  // see enums_tell_sign()

  uint32_t end_id() const { return first_id + static_cast<uint32_t>(offsets.size()); }

  void parse() {
    auto bad = [](uint64_t at, std::string_view why) {
      return Error(Errc::format, fmt::format("BTF: offset {}: {}", at, why));
    };
    const std::optional<Header> header = load<Header>(data);
    if (!header) throw bad(0, "shorter than its header");
    if (header->magic != btf_magic) throw bad(0, "wrong magic number");
    if (header->version != 1) throw bad(2, fmt::format("version {} is not known", header->version));
    if (header->hdr_len < sizeof(Header)) throw bad(4, "header length too small");
    const uint64_t types_at = uint64_t{header->hdr_len} + header->type_off;
    const uint64_t strings_at = uint64_t{header->hdr_len} + header->str_off;
    const auto type_bytes = subspan(data, types_at, header->type_len);
    const auto string_bytes = subspan(data, strings_at, header->str_len);
    if (!type_bytes) throw bad(8, "types reach beyond the end");
    if (!string_bytes) throw bad(16, "strings reach beyond the end");
    types = *type_bytes;
    strings = as_text(*string_bytes);
    if (!base && (strings.empty() || strings.front() != '\0'))
      throw bad(strings_at, "strings do not start with NUL");
    if (!strings.empty() && strings.back() != '\0') throw bad(strings_at, "strings do not end with NUL");
    if (base) {
      first_id = base->end_id();
      first_string = base->first_string + static_cast<uint32_t>(base->strings.size());
    }

    offsets.reserve(types.size() / 24);
    for (uint64_t at = 0; at < types.size();) {
      if (types.size() - at < sizeof(RawType)) throw bad(types_at + at, "type cut off");
      const uint32_t info = info_at(at);
      const Kind kind = kind_of(info);
      const std::optional<uint64_t> extra = extra_bytes(info);
      if (!extra) throw bad(types_at + at, fmt::format("type kind {} is not known", static_cast<int>(kind)));
      if (*extra > types.size() - at - sizeof(RawType)) throw bad(types_at + at, "type cut off");
      // Enumerators are looked for in enums only: one type in thirty.
      if (kind == Kind::enum_ || kind == Kind::enum64) enum_ids.push_back(end_id());
      offsets.push_back(static_cast<uint32_t>(at));
      at += sizeof(RawType) + *extra;
    }
  }

  // One word of the struct btf_type at `at`: copies of the whole, for each of a hundred thousand types, took
  // most of the time of reading BTF.
  uint32_t info_at(uint64_t at) const {
    return load<ul32>(types, at + offsetof(RawType, info)).value_or(ul32{});
  }
  uint32_t name_at(uint64_t at) const {
    return load<ul32>(types, at + offsetof(RawType, name_off)).value_or(ul32{});
  }

  std::string_view string(uint32_t offset) const {
    if (offset < first_string) return base->string(offset);
    const uint64_t at = offset - first_string;
    if (at >= strings.size()) return {};
    return strings.substr(at, strings.find('\0', at) - at);
  }

  // A type and the BTF it is in, whose bytes `at` counts in. Not found: kind void.
  struct Type {
    const Impl* in = nullptr;
    RawType raw{};
    uint64_t at = 0;  // of what follows struct btf_type
    Kind kind() const { return raw.kind(); }
    template <typename T>
    T element(uint32_t i) const {
      return load<T>(in->types, at + uint64_t{i} * sizeof(T)).value_or(T{});
    }
  };
  Type type(uint32_t id) const {
    if (id < first_id) return base ? base->type(id) : Type{};
    if (id >= end_id()) return {};
    const uint64_t at = offsets[id - first_id];
    return {this, load<RawType>(types, at).value_or(RawType{}), at + sizeof(RawType)};
  }
  // The same with typedefs and qualifiers removed.
  Type resolved(uint32_t id) const {
    for (int i = 0; i < max_modifiers; ++i) {
      Type t = type(id);
      switch (t.kind()) {
        case Kind::typedef_:
        case Kind::volatile_:
        case Kind::const_:
        case Kind::restrict_:
        case Kind::type_tag:
          id = t.raw.size_or_type;
          break;
        default:
          return t;
      }
    }
    return {};
  }

  // Bytes; nullopt when the type has no size.
  std::optional<uint64_t> size(const Type& t) const {
    uint64_t count = 1;
    Type element = t;
    for (int i = 0; i < max_nesting; ++i) {
      switch (element.kind()) {
        case Kind::int_:
        case Kind::struct_:
        case Kind::union_:
        case Kind::enum_:
        case Kind::enum64:
        case Kind::float_:
          return checked_mul(count, element.raw.size_or_type);
        case Kind::ptr:
          return checked_mul(count, 8);  // every kernel we know is 64-bit
        case Kind::array: {
          const RawArray array = element.element<RawArray>(0);
          const std::optional<uint64_t> total = checked_mul(count, array.nelems);
          if (!total) return std::nullopt;
          count = *total;
          element = resolved(array.type);
          break;
        }
        default:
          return std::nullopt;
      }
    }
    return std::nullopt;
  }

  // Of a member, from the start of its struct.
  static uint64_t bit_offset(const Type& owner, const RawMember& m) {
    return owner.raw.kind_flag() ? m.offset & 0xffffff : uint32_t{m.offset};
  }

  Member describe(const Type& owner, const RawMember& raw, uint64_t base_bits) const {
    Member m;
    m.type_id = raw.type;
    m.bit_offset = base_bits + bit_offset(owner, raw);
    if (owner.raw.kind_flag()) m.bitfield_size = raw.offset >> 24;
    const Type t = resolved(raw.type);
    m.size = size(t).value_or(0);
    if (t.kind() == Kind::int_ && m.bitfield_size == 0) {
      // Before kind_flag a bit field was an int type with fewer bits than its size.
      const uint32_t bits = t.element<ul32>(0);
      if ((bits & 0xff) != m.size * 8) {
        m.bitfield_size = bits & 0xff;
        m.bit_offset += (bits >> 16) & 0xff;
      }
    }
    return m;
  }

  // Member `name` of `owner`, looked for in its anonymous members too.
  std::optional<Member> find_member(const Type& owner, std::string_view name, uint64_t base_bits, int depth,
                                    size_t& budget) const {
    for (uint32_t i = 0; i < owner.raw.vlen(); ++i) {
      if (budget == 0) return std::nullopt;
      --budget;
      const RawMember raw = owner.element<RawMember>(i);
      const std::string_view member_name = string(raw.name_off);
      if (member_name == name) return describe(owner, raw, base_bits);
      if (!member_name.empty() || depth == max_nesting) continue;
      const Type inner = resolved(raw.type);
      if (!is_aggregate(inner.kind())) continue;
      const uint64_t bits = base_bits + bit_offset(owner, raw);
      if (auto found = find_member(inner, name, bits, depth + 1, budget)) return found;
    }
    return std::nullopt;
  }

  std::optional<Member> find_path(Type owner, std::string_view path) const {
    Member m;
    size_t budget = max_members_visited;
    for (uint64_t bits = 0;; bits = m.bit_offset) {
      if (!is_aggregate(owner.kind())) return std::nullopt;
      const size_t dot = path.find('.');
      std::optional<Member> found = find_member(owner, path.substr(0, dot), bits, 0, budget);
      if (!found || dot == std::string_view::npos) return found;
      m = *found;
      owner = resolved(m.type_id);
      path.remove_prefix(dot + 1);
    }
  }

  Btf::Type describe_type(const Type& t) const {
    Btf::Type out;
    if (t.in == nullptr) return out;
    out.size = size(t).value_or(0);
    switch (t.kind()) {
      case Kind::int_:
      case Kind::enum_:
      case Kind::enum64:
      case Kind::float_:
        out.name = string(t.raw.name_off);
        out.kind = out.name == "char" ? Btf::Type::Kind::character : Btf::Type::Kind::number;
        break;
      case Kind::ptr:
        out.kind = Btf::Type::Kind::pointer;
        out.target = t.raw.size_or_type;
        break;
      case Kind::array: {
        const RawArray array = t.element<RawArray>(0);
        out.kind = Btf::Type::Kind::array;
        out.target = array.type;
        out.count = array.nelems;
        break;
      }
      case Kind::struct_:
      case Kind::union_:
        out.kind = Btf::Type::Kind::aggregate;
        out.name = string(t.raw.name_off);
        break;
      case Kind::fwd:
        out.name = string(t.raw.name_off);
        break;
      default:
        break;
    }
    return out;
  }

  Record describe_record(const Type& t) const {
    using Shown = Record::Kind;
    Record out;
    if (t.in == nullptr) return out;
    out.name = string(t.raw.name_off);
    out.size = size(t).value_or(0);
    out.target = t.raw.size_or_type;
    switch (t.kind()) {
      case Kind::void_:
        out.kind = Shown::void_;
        break;
      case Kind::int_: {
        // BTF_INT_SIGNED, BTF_INT_CHAR, BTF_INT_BOOL. The compiler does not set BTF_INT_CHAR: names tell.
        const uint32_t encoding = t.element<ul32>(0) >> 24 & 0xf;
        out.kind = Shown::integer;
        out.is_signed = (encoding & 1) != 0;
        out.is_char = (encoding & 2) != 0 || out.name == "char";
        out.is_bool = (encoding & 4) != 0 || out.name == "_Bool";
        break;
      }
      case Kind::float_:
        out.kind = Shown::floating;
        break;
      case Kind::enum_:
      case Kind::enum64:
        out.kind = Shown::enumeration;
        add_enumerators(t, out);
        break;
      case Kind::ptr:
        out.kind = Shown::pointer;
        break;
      case Kind::array: {
        const RawArray array = t.element<RawArray>(0);
        out.kind = Shown::array;
        out.target = array.type;
        out.count = array.nelems;
        break;
      }
      case Kind::struct_:
      case Kind::union_:
        out.kind = t.kind() == Kind::struct_ ? Shown::structure : Shown::union_;
        for (uint32_t i = 0; i < t.raw.vlen() && i < max_members_visited; ++i) {
          const RawMember raw = t.element<RawMember>(i);
          out.fields.push_back({string(raw.name_off), describe(t, raw, 0)});
        }
        break;
      case Kind::fwd:
        out.kind = Shown::forward;
        out.of_union = t.raw.kind_flag();
        break;
      case Kind::typedef_:
        out.kind = Shown::definition;
        break;
      case Kind::const_:
        out.kind = Shown::const_;
        break;
      case Kind::volatile_:
        out.kind = Shown::volatile_;
        break;
      case Kind::restrict_:
      case Kind::type_tag:  // an attribute such as __rcu, which changes nothing about the value
        out.kind = Shown::restrict_;
        break;
      case Kind::func:
        out.kind = Shown::function;
        break;
      case Kind::func_proto:
        out.kind = Shown::prototype;
        for (uint32_t i = 0; i < t.raw.vlen() && i < max_members_visited; ++i) {
          const RawParameter raw = t.element<RawParameter>(i);
          out.parameters.push_back({string(raw.name_off), raw.type});
        }
        break;
      case Kind::var:
      case Kind::datasec:
      case Kind::decl_tag:
        out.kind = Shown::other;
        break;
    }
    return out;
  }

  // kind_flag means signed values; BTF from before that flag never sets it, and then a value is taken for
  // negative where that is the likely reading (see enumerator()).
  void add_enumerators(const Type& t, Record& out) const {
    out.is_signed = t.raw.kind_flag() || (t.kind() == Kind::enum_ && !t.in->enums_tell_sign());
    for (uint32_t i = 0; i < t.raw.vlen() && i < max_members_visited; ++i) {
      if (t.kind() == Kind::enum64) {
        const RawEnum64 raw = t.element<RawEnum64>(i);
        out.enumerators.push_back(
            {string(raw.name_off), static_cast<int64_t>(uint64_t{raw.value_high} << 32 | raw.value_low)});
      } else {
        const RawEnum raw = t.element<RawEnum>(i);
        const int64_t value =
            out.is_signed ? int64_t{static_cast<int32_t>(uint32_t{raw.value})} : int64_t{uint32_t{raw.value}};
        out.enumerators.push_back({string(raw.name_off), value});
      }
    }
  }

  std::optional<uint32_t> variable(std::string_view name) const {
    for (uint32_t i = 0; i < offsets.size(); ++i) {
      const RawType t = load<RawType>(types, offsets[i]).value_or(RawType{});
      if (t.kind() == Kind::var && string(t.name_off) == name) return t.size_or_type;
    }
    return base ? base->variable(name) : std::nullopt;
  }

  // Id of the first type of this name with a size: own types before the base's.
  std::optional<uint32_t> find(std::string_view name) const {
    if (name.empty()) return std::nullopt;
    build_type_names();
    for (const uint32_t i : type_names.in(name_bucket(name))) {
      const uint32_t id = first_id + i;
      if (is_string(type(id).raw.name_off, name) && size(resolved(id))) return id;
    }
    return base ? base->find(name) : std::nullopt;
  }

  void build_type_names() const {
    if (type_names.built()) return;
    std::vector<uint16_t> buckets(offsets.size(), BucketIndex::none);
    for (size_t i = 0; i < offsets.size(); ++i) {
      switch (kind_of(info_at(offsets[i]))) {
        case Kind::int_:
        case Kind::struct_:
        case Kind::union_:
        case Kind::enum_:
        case Kind::enum64:
        case Kind::float_:
        case Kind::typedef_:
          if (const uint32_t name = name_at(offsets[i]); name != 0) buckets[i] = name_bucket(string(name));
          break;
        default:
          break;
      }
    }
    type_names = BucketIndex(buckets, name_buckets);
  }

  // Calls visit(Type) for each type of this name until it returns false: own types before the base's.
  template <typename F>
  void for_each_named(std::string_view name, F&& visit) const {
    if (name.empty()) return;
    build_type_names();
    for (const uint32_t i : type_names.in(name_bucket(name))) {
      if (is_string(type(first_id + i).raw.name_off, name) && !visit(resolved(first_id + i))) return;
    }
    if (base) base->for_each_named(name, visit);
  }

  // Whether the string at `offset` is `name`: without looking for where it ends.
  bool is_string(uint32_t offset, std::string_view name) const {
    if (offset < first_string) return base->is_string(offset, name);
    const std::string_view rest = strings.substr(std::min<size_t>(offset - first_string, strings.size()));
    return rest.starts_with(name) && rest.size() > name.size() && rest[name.size()] == '\0';
  }

  // Whether signed enums are marked. BTF from before kind_flag in enums and before enum64
  // (include/uapi/linux/btf.h; both in v6.0) never marks them.
  bool enums_tell_sign() const {
    if (!signs_told) {
      signs_told = std::any_of(enum_ids.begin(), enum_ids.end(), [&](uint32_t id) {
        return type(id).kind() == Kind::enum64 || type(id).raw.kind_flag();
      });
    }
    return *signs_told;
  }

  // Few are asked for: an index of all would cost more than going through them.
  std::optional<int64_t> enumerator(std::string_view name) const {
    std::optional<int64_t> value;
    for (auto id = enum_ids.begin(); id != enum_ids.end() && !value; ++id) {
      const Type t = type(*id);
      const bool wide = t.kind() == Kind::enum64;
      for (uint32_t e = 0; e < t.raw.vlen() && !value; ++e) {
        if (wide) {
          const RawEnum64 raw = t.element<RawEnum64>(e);
          if (is_string(raw.name_off, name)) {
            value = static_cast<int64_t>(uint64_t{raw.value_high} << 32 | raw.value_low);
          }
        } else {
          const RawEnum raw = t.element<RawEnum>(e);
          if (!is_string(raw.name_off, name)) continue;
          // Where no enum is marked as signed, take what is most likely, a negative number.
          const bool is_signed = t.raw.kind_flag() || !enums_tell_sign();
          value =
              is_signed ? int64_t{static_cast<int32_t>(uint32_t{raw.value})} : int64_t{uint32_t{raw.value}};
        }
      }
    }
    if (!value && base) return base->enumerator(name);
    return value;
  }
};

Btf::Btf(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Btf::~Btf() = default;

std::unique_ptr<Btf> Btf::parse(std::vector<uint8_t> data, const Btf* base) {
  if (data.size() > max_btf_bytes)
    throw Error(Errc::format, fmt::format("BTF: {} bytes are too many", data.size()));
  auto impl = std::make_unique<Impl>();
  impl->data = std::move(data);
  impl->base = base ? base->impl_.get() : nullptr;
  impl->parse();
  return std::unique_ptr<Btf>(new Btf(std::move(impl)));
}

size_t Btf::type_count() const {
  return impl_->end_id();
}

bool Btf::has_struct(std::string_view type) const {
  bool found = false;
  impl_->for_each_named(type, [&](const Impl::Type& t) {
    found = is_aggregate(t.kind());
    return !found;
  });
  return found;
}

std::optional<uint64_t> Btf::size_of(std::string_view type) const {
  std::optional<uint64_t> size;
  impl_->for_each_named(type, [&](const Impl::Type& t) {
    size = t.in ? t.in->size(t) : std::nullopt;
    return !size;
  });
  return size;
}

std::optional<Btf::Member> Btf::member(std::string_view type, std::string_view path) const {
  std::optional<Member> found;
  impl_->for_each_named(type, [&](const Impl::Type& t) {
    // Ids in a split BTF reach into its base, never the other way round: resolve from the outermost.
    found = impl_->find_path(t, path);
    return !found;
  });
  return found;
}

std::optional<int64_t> Btf::enumerator(std::string_view name) const {
  return name.empty() ? std::nullopt : impl_->enumerator(name);
}

std::optional<uint64_t> Btf::array_length(std::string_view type, std::string_view path) const {
  const std::optional<Member> m = member(type, path);
  if (!m) return std::nullopt;
  const Impl::Type t = impl_->resolved(m->type_id);
  if (t.kind() != Kind::array) return std::nullopt;
  return t.element<RawArray>(0).nelems;
}

std::optional<Btf::Type> Btf::type(uint32_t id) const {
  if (id >= impl_->end_id()) return std::nullopt;
  return impl_->describe_type(impl_->resolved(id));
}

std::optional<uint32_t> Btf::find(std::string_view type) const {
  return impl_->find(type);
}

std::optional<Btf::Record> Btf::record(uint32_t id) const {
  if (id >= impl_->end_id()) return std::nullopt;
  return impl_->describe_record(impl_->type(id));
}

std::vector<uint32_t> Btf::named(std::string_view name) const {
  std::vector<uint32_t> found;
  for (const Impl* impl = impl_.get(); impl != nullptr && !name.empty(); impl = impl->base) {
    impl->build_type_names();
    for (const uint32_t i : impl->type_names.in(name_bucket(name))) {
      const uint32_t id = impl->first_id + i;
      if (impl->is_string(impl->type(id).raw.name_off, name)) found.push_back(id);
    }
  }
  return found;
}

std::optional<uint32_t> Btf::variable(std::string_view name) const {
  return name.empty() ? std::nullopt : impl_->variable(name);
}

std::optional<Btf::Member> Btf::member(uint32_t type_id, std::string_view path) const {
  return impl_->find_path(impl_->resolved(type_id), path);
}

}  // namespace kdk
