#include "core/formats/lzo1x_encoder.h"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>

// A greedy search like that of liblzo2's lzo1x_1, made for what a kernel keeps in its memory: words of 8
// bytes at even addresses, pointers among them that differ in one byte. It looks at every second position,
// for 7 bytes that are equal rather than 4, and gives up sooner where nothing repeats: 0.36 to 0.51 of
// liblzo2's time, 1.11 to 1.26 of its output (pages of levels 31 and 1, arm64 and x86-64). Who wants them
// smaller takes zstd.
namespace kdk {
namespace {

static_assert(std::endian::native == std::endian::little,
              "lengths of matches are told by counting zero bits");

constexpr size_t match_min = 7;
constexpr size_t stride = 2;
// After 2^4 literals the stride grows by one step for each further 16: what has not repeated so far seldom
// will.
constexpr unsigned literals_to_speed_up_log2 = 4;
constexpr size_t first_position = 8;  // matches are extended backwards 8 bytes at a time
// Before the end: 16 for a load of 8 and a look-ahead of 8, 8 more because a short run of literals is copied
// as 18.
constexpr size_t tail = 24;

constexpr size_t m2_length_max = 8, m2_distance_max = 1 << 11;
constexpr size_t m3_length_max = 33, m3_distance_max = 1 << 14;

uint64_t word_at(const uint8_t* p) noexcept {
  uint64_t word;
  std::memcpy(&word, p, sizeof word);
  return word;
}

// What is above the lengths that an instruction's own bits hold: a zero for each full 255, then the rest.
uint8_t* put_length(uint8_t* op, size_t rest) noexcept {
  for (; rest > 255; rest -= 255) *op++ = 0;
  *op++ = static_cast<uint8_t>(rest);
  return op;
}

// The instruction before `count` literals. One to three belong to the match before them, whose distance is in
// the last two bytes written.
uint8_t* put_literal_count(uint8_t* op, const uint8_t* stream, size_t count) noexcept {
  if (op == stream && count <= 238) {
    *op++ = static_cast<uint8_t>(17 + count);
  } else if (op != stream && count <= 3) {
    op[-2] |= static_cast<uint8_t>(count);
  } else if (op != stream && count <= 18) {
    *op++ = static_cast<uint8_t>(count - 3);
  } else {
    *op++ = 0;
    op = put_length(op, count - 18);
  }
  return op;
}

// Literals before a match. Reads up to 18 bytes past `from` and writes up to 18 past the result.
uint8_t* put_literals(uint8_t* op, const uint8_t* stream, const uint8_t* from, size_t count) noexcept {
  if (op != stream && count <= 18) {  // most runs: as put_literal_count(), with nothing to mispredict
    op[-2] |= static_cast<uint8_t>(count <= 3 ? count : 0);
    *op = static_cast<uint8_t>(count - 3);
    op += count > 3;
    std::memcpy(op, from, 16);
    std::memcpy(op + 16, from + 16, 2);
    return op + count;
  }
  op = put_literal_count(op, stream, count);
  uint8_t* const end = op + count;
  for (; op < end; op += 16, from += 16) std::memcpy(op, from, 16);
  return end;
}

// `length` >= match_min, `distance` of 1 to m3_distance_max.
uint8_t* put_match(uint8_t* op, size_t length, size_t distance) noexcept {
  const auto d = static_cast<uint32_t>(distance - 1);
  if (length > m3_length_max) {
    *op++ = 0x20;
    op = put_length(op, length - m3_length_max);
    *op++ = static_cast<uint8_t>(d << 2);
    *op++ = static_cast<uint8_t>(d >> 6);
    return op;
  }
  const auto n = static_cast<uint32_t>(length);
  const bool m2 = length <= m2_length_max && distance <= m2_distance_max;
  const uint32_t code = m2 ? (n - 1) << 5 | (d & 7) << 2 | d >> 3 << 8 : 0x20 | (n - 2) | d << 10;
  std::memcpy(op, &code, sizeof code);
  return op + (m2 ? 2 : 3);
}

// How many bytes from `at` on are equal to those `distance` before them; the first match_min are known to be.
size_t match_length(const uint8_t* at, size_t distance, const uint8_t* end) noexcept {
  const uint8_t* p = at + match_min;
  while (p + 8 <= end) {
    const uint64_t differ = word_at(p) ^ word_at(p - distance);
    if (differ != 0) return static_cast<size_t>(p - at) + static_cast<size_t>(std::countr_zero(differ)) / 8;
    p += 8;
  }
  while (p < end && *p == *(p - distance)) ++p;
  return static_cast<size_t>(p - at);
}

// Two to the power of Bits positions are remembered.
template <int Bits>
size_t encode(Bytes page, uint8_t* const stream) noexcept {
  constexpr uint64_t odd = 0x9e3779b97f4a7c15;  // 2^64 over the golden ratio: the upper bits are well mixed
  constexpr int unused_bits = 64 - 8 * match_min;
  uint16_t last_seen[1 << Bits] = {};
  const uint8_t* const begin = page.data();
  const uint8_t* const end = begin + page.size();
  const uint8_t* const search_end = page.size() > tail ? end - tail : begin;
  const uint8_t* literals = begin;
  const uint8_t* at = begin + first_position;
  uint8_t* op = stream;

  while (at < search_end) {
    const uint64_t word = word_at(at) << unused_bits;
    uint16_t& seen = last_seen[(word * odd) >> (64 - Bits)];
    const uint8_t* from = begin + seen;
    seen = static_cast<uint16_t>(at - begin);
    size_t count = static_cast<size_t>(at - literals);
    const size_t distance = static_cast<size_t>(at - from);
    if (word_at(from) << unused_bits != word || distance > m3_distance_max) {
      at += stride * (1 + (count >> literals_to_speed_up_log2));
      continue;
    }
    const uint8_t* const match_end = at + match_length(at, distance, end);
    if (from >= begin + 8) {  // with the bytes before, which a longer stride stepped over
      const uint64_t differ = word_at(at - 8) ^ word_at(from - 8);
      const size_t more = std::min(static_cast<size_t>(std::countl_zero(differ | 1)) / 8, count);
      at -= more;
      count -= more;
    }
    op = put_literals(op, stream, literals, count);
    op = put_match(op, static_cast<size_t>(match_end - at), distance);
    literals = match_end;
    at = match_end + ((match_end - begin) & (stride - 1));
  }

  const auto count = static_cast<size_t>(end - literals);
  if (count != 0) {
    op = put_literal_count(op, stream, count);
    std::memcpy(op, literals, count);
    op += count;
  }
  constexpr uint8_t end_of_stream[] = {0x11, 0, 0};
  std::memcpy(op, end_of_stream, sizeof end_of_stream);
  return static_cast<size_t>(op - stream) + sizeof end_of_stream;
}

}  // namespace

size_t lzo1x_encode(Bytes page, MutableBytes out) noexcept {
  // Clearing a larger table costs more than it finds in a page of 4 KiB.
  return page.size() <= 4096 ? encode<11>(page, out.data()) : encode<13>(page, out.data());
}

}  // namespace kdk
