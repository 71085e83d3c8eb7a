// The container of a sealed file: what --encrypt-to writes and `decrypt` reads. docs/formats.md has it in
// prose. Little-endian.
//
//   0    16  "kdumpkit sealed\n"
//   16    4  version, 1
//   20    4  content: 1 a dump as a flattened stream, 2 any other file
//   24    4  plain bytes in a chunk, 4 KiB to 16 MiB; all chunks but the last have as many
//   28    4  zero
//   32   32  BLAKE2b-256 of the public key it is sealed to: tells which secret key to look for
//   64   80  the file's own key, 32 bytes, in a crypto_box_seal to that public key
//   144  24  header of crypto_secretstream_xchacha20poly1305
//   168      chunks: each encrypted and 17 bytes longer for it. The last has the tag FINAL; the header above
//            is associated data of each
//
// Order and completeness of the chunks are part of what is authenticated: a changed, moved or repeated chunk
// is refused, and a file without a last one was cut. What comes before is good.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/base/bytes.h"

namespace kdk::sealed {

inline constexpr std::string_view magic = "kdumpkit sealed\n";
inline constexpr uint32_t version = 1;
inline constexpr uint32_t content_dump = 1, content_file = 2;
inline constexpr uint32_t chunk_bytes = 1 << 20;
inline constexpr uint32_t fewest_chunk_bytes = 4 << 10, most_chunk_bytes = 16 << 20;
inline constexpr size_t chunk_overhead = 17;

struct Header {
  char magic[16];
  ul32 version;
  ul32 content;
  ul32 chunk_bytes;
  ul32 reserved;
  std::array<uint8_t, 32> recipient;
  std::array<uint8_t, 80> key;
  std::array<uint8_t, 24> stream;
};
static_assert(sizeof(Header) == 168 && offsetof(Header, stream) == 144);

}  // namespace kdk::sealed
