// Reading numbers out of untrusted bytes.
//
// On-disk and in-dump structures are described with fixed-endian integers of alignment 1 (ul32, ub64, ...), so a struct
// can be copied out of any offset on any host. Everything that walks bytes uses Cursor, whose every read is checked;
// nothing here ever trusts a count or an offset.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>

#include "core/base/error.h"

namespace kdk {

using Bytes = std::span<const uint8_t>;
using MutableBytes = std::span<uint8_t>;

inline Bytes as_bytes(std::string_view s) { return {reinterpret_cast<const uint8_t*>(s.data()), s.size()}; }
inline std::string_view as_text(Bytes b) { return {reinterpret_cast<const char*>(b.data()), b.size()}; }

// Swaps the byte order of an integer of 1, 2, 4 or 8 bytes.
template <typename T>
constexpr T byteswap(T v) {
  static_assert(std::is_integral_v<T>);
  if constexpr (sizeof(T) == 1) return v;
  if constexpr (sizeof(T) == 2) return static_cast<T>(__builtin_bswap16(static_cast<uint16_t>(v)));
  if constexpr (sizeof(T) == 4) return static_cast<T>(__builtin_bswap32(static_cast<uint32_t>(v)));
  if constexpr (sizeof(T) == 8) return static_cast<T>(__builtin_bswap64(static_cast<uint64_t>(v)));
}

// An integer stored in byte order `Order` with alignment 1. Converts to and from T implicitly.
template <typename T, std::endian Order>
class FixedEndian {
 public:
  constexpr FixedEndian() = default;
  constexpr FixedEndian(T v) { *this = v; }
  constexpr FixedEndian& operator=(T v) {
    if constexpr (Order != std::endian::native) v = byteswap(v);
    bytes_ = std::bit_cast<std::array<uint8_t, sizeof(T)>>(v);
    return *this;
  }
  constexpr operator T() const {
    T v = std::bit_cast<T>(bytes_);
    if constexpr (Order != std::endian::native) v = byteswap(v);
    return v;
  }

 private:
  std::array<uint8_t, sizeof(T)> bytes_{};
};

using ul16 = FixedEndian<uint16_t, std::endian::little>;
using ul32 = FixedEndian<uint32_t, std::endian::little>;
using ul64 = FixedEndian<uint64_t, std::endian::little>;
using il32 = FixedEndian<int32_t, std::endian::little>;
using il64 = FixedEndian<int64_t, std::endian::little>;
using ub16 = FixedEndian<uint16_t, std::endian::big>;
using ub32 = FixedEndian<uint32_t, std::endian::big>;
using ub64 = FixedEndian<uint64_t, std::endian::big>;
static_assert(sizeof(ul64) == 8 && alignof(ul64) == 1);

// a + b, a * b; nullopt when the result does not fit 64 bits.
inline std::optional<uint64_t> checked_add(uint64_t a, uint64_t b) {
  uint64_t r = 0;
  if (__builtin_add_overflow(a, b, &r)) return std::nullopt;
  return r;
}
inline std::optional<uint64_t> checked_mul(uint64_t a, uint64_t b) {
  uint64_t r = 0;
  if (__builtin_mul_overflow(a, b, &r)) return std::nullopt;
  return r;
}

constexpr bool is_power_of_two(uint64_t v) { return v != 0 && (v & (v - 1)) == 0; }
// Rounds to a multiple of `unit`, a power of two. align_up wraps at 2^64: check first when `v` is untrusted.
constexpr uint64_t align_down(uint64_t v, uint64_t unit) { return v & ~(unit - 1); }
constexpr uint64_t align_up(uint64_t v, uint64_t unit) { return align_down(v + unit - 1, unit); }

// True when [offset, offset + size) lies inside a buffer of `total` bytes. Never overflows.
constexpr bool in_bounds(uint64_t total, uint64_t offset, uint64_t size) {
  return offset <= total && size <= total - offset;
}

// The bytes [offset, offset + size) of `b`, or nullopt when they are not all there.
inline std::optional<Bytes> subspan(Bytes b, uint64_t offset, uint64_t size) {
  if (!in_bounds(b.size(), offset, size)) return std::nullopt;
  return b.subspan(offset, size);
}

// Copies a trivially copyable T (alignment-1 struct or FixedEndian) out of `b` at `offset`; nullopt when out of bounds.
template <typename T>
std::optional<T> load(Bytes b, uint64_t offset = 0) {
  static_assert(std::is_trivially_copyable_v<T>);
  if (!in_bounds(b.size(), offset, sizeof(T))) return std::nullopt;
  T v;
  std::memcpy(static_cast<void*>(&v), b.data() + offset, sizeof(T));
  return v;
}

// Copies `v` into `b` at `offset`. The caller has sized `b`; out of bounds is a bug and throws Error{format}.
template <typename T>
void store(MutableBytes b, uint64_t offset, const T& v) {
  static_assert(std::is_trivially_copyable_v<T>);
  if (!in_bounds(b.size(), offset, sizeof(T))) throw Error(Errc::format, "store outside the buffer");
  std::memcpy(b.data() + offset, &v, sizeof(T));
}

// A forward reader over untrusted bytes. Every read throws Error{format} naming `what` and the offset when short.
class Cursor {
 public:
  // `what` names the input in error messages and must outlive the cursor (a literal, usually).
  Cursor(Bytes bytes, std::string_view what) : bytes_(bytes), what_(what) {}

  uint64_t offset() const { return offset_; }
  uint64_t remaining() const { return bytes_.size() - offset_; }
  bool at_end() const { return remaining() == 0; }

  // Moves to an absolute offset (at most the end).
  void seek(uint64_t offset) {
    if (offset > bytes_.size()) throw_short(offset, 0);
    offset_ = offset;
  }
  void skip(uint64_t n) { take(n); }

  // The next n bytes, as a view into the input.
  Bytes take(uint64_t n) {
    if (n > remaining()) throw_short(offset_, n);
    Bytes out = bytes_.subspan(offset_, n);
    offset_ += n;
    return out;
  }

  // The next T: an alignment-1 struct or a FixedEndian integer.
  template <typename T>
  T read() {
    return *load<T>(take(sizeof(T)));
  }
  uint8_t u8() { return take(1)[0]; }
  uint16_t u16le() { return read<ul16>(); }
  uint32_t u32le() { return read<ul32>(); }
  uint64_t u64le() { return read<ul64>(); }
  uint32_t u32be() { return read<ub32>(); }
  uint64_t u64be() { return read<ub64>(); }

  // A NUL-terminated string (the NUL is consumed, not returned); throws when no NUL comes before the end.
  std::string_view cstring() {
    std::string_view rest = as_text(bytes_.subspan(offset_));
    size_t nul = rest.find('\0');
    if (nul == std::string_view::npos) throw_short(offset_, rest.size() + 1);
    offset_ += nul + 1;
    return rest.substr(0, nul);
  }

 private:
  [[noreturn]] void throw_short(uint64_t offset, uint64_t wanted) const;

  Bytes bytes_;
  std::string_view what_;
  uint64_t offset_ = 0;
};

}  // namespace kdk
