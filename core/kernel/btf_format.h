// BTF as it lies in memory. Source: include/uapi/linux/btf.h, Documentation/bpf/btf.rst.
#pragma once

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

// struct btf_type. Bits 16 to 23 and 29 to 30 of `info` are zero up to now: reading vlen as 24 bits and kind
// as 7 is the same for every kernel there is.
struct RawType {
  ul32 name_off;
  ul32 info;
  ul32 size_or_type;
  Kind kind() const { return static_cast<Kind>((info >> 24) & 0x7f); }
  uint32_t vlen() const { return info & 0xffffff; }
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

// Bytes that follow struct btf_type; nullopt for a kind that is not known, which cannot be stepped over.
inline std::optional<uint64_t> extra_bytes(const RawType& t) {
  const uint64_t n = t.vlen();
  switch (t.kind()) {
    case Kind::ptr:
    case Kind::fwd:
    case Kind::typedef_:
    case Kind::volatile_:
    case Kind::const_:
    case Kind::restrict_:
    case Kind::func:
    case Kind::float_:
    case Kind::type_tag:
      return 0;
    case Kind::int_:
    case Kind::var:
    case Kind::decl_tag:
      return 4;
    case Kind::array:
      return sizeof(RawArray);
    case Kind::struct_:
    case Kind::union_:
      return n * sizeof(RawMember);
    case Kind::enum_:
      return n * sizeof(RawEnum);
    case Kind::enum64:
      return n * sizeof(RawEnum64);
    case Kind::func_proto:
      return n * sizeof(RawParameter);
    case Kind::datasec:
      return n * 12;
    case Kind::void_:
      break;
  }
  return std::nullopt;
}

inline bool is_aggregate(Kind kind) {
  return kind == Kind::struct_ || kind == Kind::union_;
}

}  // namespace kdk::btf
