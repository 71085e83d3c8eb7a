// The arm64 "Image" format: a 64-byte little-endian header, which doubles as a PE/COFF header when the kernel
// has an EFI stub. The PE section table is the only thing that tells a whole file from a truncated one, so it
// is looked at too.
#include <fmt/format.h>

#include <algorithm>

#include "core/base/error.h"
#include "loader/decompress.h"
#include "loader/image.h"

namespace kdk {
namespace {

struct Arm64Header {
  ul32 code0;
  ul32 code1;
  ul64 text_offset;
  ul64 image_size;
  ul64 flags;
  std::array<ul64, 3> reserved;
  ul32 magic;
  ul32 pe_offset;
};
static_assert(sizeof(Arm64Header) == 64);

constexpr uint32_t arm64_magic = 0x644d5241;  // "ARM\x64"
constexpr uint64_t flag_big_endian = 1;
constexpr uint64_t max_text_offset = uint64_t{2} << 20;

// The names of files people pass by mistake; an empty string when the bytes tell nothing.
std::string_view name_other_format(Bytes file) {
  std::string_view text = as_text(file);
  if (text.starts_with("\x7f"
                       "ELF"))
    return "an ELF file (vmlinux); the boot image is arch/arm64/boot/Image or /boot/vmlinuz-*";
  if (text.starts_with("MZ") && text.size() > 8 && text.substr(4, 4) == "zimg")
    return "an EFI zboot image, not supported yet";
  if (text.size() > 0x206 && text.substr(0x202, 4) == "HdrS") return "an x86 bzImage";
  if (text.starts_with("MZ"))
    return "a PE file without an arm64 kernel header (a unified kernel image is not supported yet)";
  if (text.starts_with("\xfd"
                       "7zXZ") ||
      text.starts_with("BZh") || text.starts_with("\x02\x21\x4c\x18")) {
    return "packed with a method other than gzip or zstd; unpack it first";
  }
  return "";
}

// Throws when a PE section reaches behind the end of the file. No PE header: nothing can be told.
void check_pe_sections(Bytes image, uint64_t pe_offset) {
  struct Coff {
    ul32 signature;
    ul16 machine;
    ul16 sections;
    std::array<ul32, 3> skipped;
    ul16 optional_size;
    ul16 characteristics;
  };
  struct Section {
    std::array<uint8_t, 8> name;
    ul32 virtual_size;
    ul32 virtual_address;
    ul32 raw_size;
    ul32 raw_offset;
    std::array<ul32, 4> skipped;
  };
  static_assert(sizeof(Coff) == 24 && sizeof(Section) == 40);
  if (!as_text(image).starts_with("MZ")) return;
  Cursor cursor(image, "PE header");
  cursor.seek(pe_offset);
  auto coff = cursor.read<Coff>();
  if (coff.signature != 0x4550)
    throw Error(Errc::format, fmt::format("no PE signature at offset {:#x}", pe_offset));
  cursor.skip(coff.optional_size);
  for (unsigned i = 0; i < coff.sections; ++i) {
    auto section = cursor.read<Section>();
    if (in_bounds(image.size(), section.raw_offset, section.raw_size)) continue;
    throw Error(Errc::format,
                fmt::format("truncated: section {} should reach offset {:#x}, but the image ends at {:#x}", i,
                            uint64_t{section.raw_offset} + section.raw_size, image.size()));
  }
}

}  // namespace

KernelImage load_arm64_image(std::vector<uint8_t> file) {
  KernelImage image;
  PackFormat format = detect_pack_format(file);
  image.compression = to_string(format);
  if (format == PackFormat::gzip || format == PackFormat::zstd) {
    image.bytes = unpack_all(file, format, max_image_bytes);
  } else {
    image.bytes = std::move(file);
  }
  std::optional<Arm64Header> header = load<Arm64Header>(image.bytes);
  if (!header || header->magic != arm64_magic) {
    std::string_view other = name_other_format(image.bytes);
    if (!other.empty()) throw Error(Errc::unsupported, fmt::format("this is {}", other));
    throw Error(Errc::format, "not an arm64 kernel image: no \"ARM\\x64\" at offset 56");
  }
  if (header->flags & flag_big_endian) throw Error(Errc::unsupported, "the kernel is big-endian");
  if (header->image_size == 0) {
    throw Error(Errc::unsupported, "the header gives no image size (a kernel older than 3.17)");
  }
  check_pe_sections(image.bytes, header->pe_offset);
  if (image.bytes.size() > header->image_size) {
    throw Error(Errc::format,
                fmt::format("the file has {:#x} bytes, but its header asks for only {:#x} bytes of memory",
                            image.bytes.size(), +header->image_size));
  }
  if (header->image_size > max_image_bytes || header->text_offset >= max_text_offset) {
    throw Error(Errc::format, fmt::format("image size {:#x} or text offset {:#x} is not plausible",
                                          +header->image_size, +header->text_offset));
  }
  image.text_offset = header->text_offset;
  image.image_size = header->image_size;
  // Bits 1-2: 0 unspecified, 1 = 4 KiB, 2 = 16 KiB, 3 = 64 KiB.
  unsigned code = (header->flags >> 1) & 3;
  image.page_size = code == 0 ? 0 : uint64_t{1024} << (2 * code);
  return image;
}

}  // namespace kdk
