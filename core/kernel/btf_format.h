// BTF as it lies in memory. Source: include/uapi/linux/btf.h, Documentation/bpf/btf.rst.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "core/base/bytes.h"

namespace kdk::btf {

constexpr uint16_t btf_magic = 0xeb9f;

struct Header {
  ul16 magic;
  uint8_t version;
  uint8_t flags;
  ul32 hdr_len;  // type_off and str_off count from here
  ul32 type_off, type_len, str_off, str_len;
};
static_assert(sizeof(Header) == 24);

enum class Kind : uint8_t {
  void_ = 0,
  int_ = 1,
  ptr = 2,
  array = 3,
  struct_ = 4,
  union_ = 5,
  enum_ = 6,
  fwd = 7,
  typedef_ = 8,
  volatile_ = 9,
  const_ = 10,
  restrict_ = 11,
  func = 12,
  func_proto = 13,
  var = 14,
  datasec = 15,
  float_ = 16,
  decl_tag = 17,
  type_tag = 18,
  enum64 = 19,
};

// Of `info` in struct btf_type. Bits 16 to 23 and 29 to 30 of `info` are zero up to now: reading vlen as 24
// bits and kind as 7 is the same for every kernel there is.
constexpr Kind kind_of(uint32_t info) {
  return static_cast<Kind>((info >> 24) & 0x7f);
}
constexpr uint32_t vlen_of(uint32_t info) {
  return info & 0xffffff;
}

// struct btf_type.
struct RawType {
  ul32 name_off;
  ul32 info;
  ul32 size_or_type;
  Kind kind() const { return kind_of(info); }
  uint32_t vlen() const { return vlen_of(info); }
  bool kind_flag() const { return (info >> 31) != 0; }
};
struct RawMember {
  ul32 name_off, type, offset;
};
struct RawArray {
  ul32 type, index_type, nelems;
};
struct RawEnum {
  ul32 name_off, value;
};
struct RawParameter {
  ul32 name_off, type;
};
struct RawEnum64 {
  ul32 name_off, value_low, value_high;
};
struct RawSectionInfo {
  ul32 type, offset, size;
};

// Bytes that follow struct btf_type: so many, and so many for each of its `vlen`. Asked for each of a hundred
// thousand types.
struct Extra {
  bool known = false;
  uint8_t fixed = 0, each = 0;
};
constexpr std::array<Extra, 20> extra_of_kind = [] {
  std::array<Extra, 20> of{};
  const auto is = [&of](Kind kind, size_t fixed, size_t each) {
    of[static_cast<size_t>(kind)] = {true, static_cast<uint8_t>(fixed), static_cast<uint8_t>(each)};
  };
  for (Kind kind : {Kind::ptr, Kind::fwd, Kind::typedef_, Kind::volatile_, Kind::const_, Kind::restrict_,
                    Kind::func, Kind::float_, Kind::type_tag})
    is(kind, 0, 0);
  for (Kind kind : {Kind::int_, Kind::var, Kind::decl_tag}) is(kind, 4, 0);
  for (Kind kind : {Kind::struct_, Kind::union_}) is(kind, 0, sizeof(RawMember));
  is(Kind::array, sizeof(RawArray), 0);
  is(Kind::enum_, 0, sizeof(RawEnum));
  is(Kind::enum64, 0, sizeof(RawEnum64));
  is(Kind::func_proto, 0, sizeof(RawParameter));
  is(Kind::datasec, 0, sizeof(RawSectionInfo));
  return of;
}();

// nullopt for a kind that is not known, which cannot be stepped over.
constexpr std::optional<uint64_t> extra_bytes(uint32_t info) {
  const size_t kind = static_cast<size_t>(kind_of(info));
  if (kind >= extra_of_kind.size() || !extra_of_kind[kind].known) return std::nullopt;
  return extra_of_kind[kind].fixed + uint64_t{vlen_of(info)} * extra_of_kind[kind].each;
}

inline bool is_aggregate(Kind kind) {
  return kind == Kind::struct_ || kind == Kind::union_;
}

}  // namespace kdk::btf
