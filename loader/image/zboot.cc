#include <fmt/format.h>

#include "core/base/error.h"
#include "loader/image/containers.h"

namespace kdk {
namespace {

struct ZbootHeader {
  std::array<uint8_t, 8> magic;  // "MZ\0\0zimg"
  ul32 payload_offset;
  ul32 payload_size;  // without the unpacked size that is appended to all but gzip data
  std::array<uint8_t, 8> reserved;
  std::array<uint8_t, 32> method;  // "gzip"
};
static_assert(sizeof(ZbootHeader) == 56);

constexpr std::string_view zboot_magic("MZ\0\0zimg", 8);

// Linux has written "gzip", "zstd", "zstd22", "lz4", "lzma", "lzo" and "xzkern": the names of the commands in
// scripts/Makefile.lib.
PackFormat parse_method(std::string_view method) {
  for (PackFormat format : {PackFormat::gzip, PackFormat::zstd, PackFormat::lz4, PackFormat::lzma,
                            PackFormat::lzo, PackFormat::xz}) {
    if (method == to_string(format)) return format;
  }
  if (method == "zstd22") return PackFormat::zstd;
  if (method == "xzkern") return PackFormat::xz;
  throw Error(Errc::unsupported, fmt::format("packed with an unknown method, \"{}\"", method));
}

}  // namespace

bool is_zboot_image(Bytes file) {
  std::optional<Bytes> magic = subspan(file, 0, zboot_magic.size());
  return magic && as_text(*magic) == zboot_magic;
}

ZbootImage read_zboot_image(Bytes file) {
  std::optional<ZbootHeader> header = load<ZbootHeader>(file);
  if (!header) throw Error(Errc::format, "truncated: the file ends inside the zboot header");
  std::optional<Bytes> payload = subspan(file, header->payload_offset, header->payload_size);
  if (!payload) {
    throw Error(Errc::format,
                fmt::format("truncated: the payload should reach offset {:#x}, but the file ends at {:#x}",
                            uint64_t{header->payload_offset} + header->payload_size, file.size()));
  }
  std::string_view method = as_text(header->method);
  return {parse_method(method.substr(0, method.find('\0'))), *payload};
}

}  // namespace kdk
