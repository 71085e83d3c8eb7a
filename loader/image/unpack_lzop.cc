// The file format of lzop: a header with checksums, then blocks behind their sizes.
//
// Source: Linux lib/decompress_unlzo.c; lzop 1.04, conf.h (flags).
#include <fmt/format.h>
#include <lzo/lzo1x.h>
#include <zlib.h>

#include "core/base/error.h"
#include "loader/image/unpackers.h"

namespace kdk {
namespace {

constexpr std::string_view magic("\x89LZO\0\r\n\x1a\n", 9);
constexpr uint16_t version_with_level = 0x0940;
constexpr uint32_t adler_unpacked = 0x1, adler_packed = 0x2, extra_field = 0x40, crc_unpacked = 0x100,
                   crc_packed = 0x200, filter = 0x800;
constexpr uint32_t max_block = 64 << 20;  // bytes unpacked; lzop's own limit
constexpr uint8_t last_lzo1x = 3;         // method: lzo1x-1, lzo1x-1(15), lzo1x-999

[[noreturn]] void damaged(uint64_t at, std::string_view why) {
  throw Error(Errc::format, fmt::format("lzo data is damaged near offset {:#x} ({})", at, why));
}

uint16_t u16(Cursor& cursor) {
  return cursor.read<ub16>();
}

// Returns the flags; leaves the cursor at the first block.
uint32_t read_header(Cursor& cursor) {
  if (as_text(cursor.take(magic.size())) != magic) damaged(0, "no magic number");
  const uint16_t version = u16(cursor);
  cursor.skip(2);  // of the library
  if (version >= version_with_level) cursor.skip(2);
  const uint8_t method = cursor.u8();
  if (method == 0 || method > last_lzo1x) damaged(cursor.offset(), fmt::format("method {}", method));
  if (version >= version_with_level) cursor.skip(1);
  const uint32_t flags = cursor.u32be();
  if (flags & filter)
    throw Error(Errc::unsupported, "lzo data went through a filter, which no kernel build does");
  cursor.skip(version >= version_with_level ? 12 : 8);  // file mode and time
  cursor.skip(cursor.u8());                             // file name
  cursor.skip(4);                                       // checksum
  if (flags & extra_field) {
    cursor.skip(cursor.u32be());
    cursor.skip(4);
  }
  return flags;
}

UnpackResult unpack_blocks(Cursor& cursor, Bytes packed, const UnpackSink& sink) {
  const uint32_t flags = read_header(cursor);
  std::vector<uint8_t> out;
  for (;;) {
    const uint64_t at = cursor.offset();
    const uint32_t size = cursor.u32be();
    if (size == 0) return {cursor.offset(), false};
    const uint32_t packed_size = cursor.u32be();
    if (size > max_block || packed_size == 0 || packed_size > size)
      damaged(at, fmt::format("a block of {} bytes packed to {}", size, packed_size));
    std::optional<uint32_t> adler;
    if (flags & adler_unpacked) adler = cursor.u32be();
    if (flags & crc_unpacked) cursor.skip(4);
    // A block that would not shrink is stored, with no checksums of its packed form.
    if (packed_size < size && (flags & adler_packed)) cursor.skip(4);
    if (packed_size < size && (flags & crc_packed)) cursor.skip(4);
    Bytes data = cursor.take(packed_size);
    if (packed_size < size) {
      out.resize(size);
      lzo_uint got = size;
      if (lzo1x_decompress_safe(data.data(), data.size(), out.data(), &got, nullptr) != LZO_E_OK ||
          got != size) {
        damaged(at, "corrupt block");
      }
      data = out;
    }
    if (adler && adler32_z(1, data.data(), data.size()) != *adler) damaged(at, "wrong checksum");
    if (!sink(data)) return {packed.size() - cursor.remaining(), true};
  }
}

}  // namespace

UnpackResult unpack_lzop(Bytes packed, const UnpackSink& sink) {
  Cursor cursor(packed, "lzo data, cut off");
  return unpack_blocks(cursor, packed, sink);
}

}  // namespace kdk
