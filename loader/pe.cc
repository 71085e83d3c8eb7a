// The PE/COFF side of kernels with an EFI stub, arm64 Image and x86 bzImage alike: the section table is what
// tells a whole file from a truncated one, the certificate table whether the file is signed.
//
// Source: PE Format specification, "COFF File Header", "Optional Header Data Directories", "Section Table"
// and "The Attribute Certificate Table".
#include <fmt/format.h>

#include "loader/image.h"

namespace kdk {
namespace {

constexpr uint64_t pe_offset_at = 0x3c;
constexpr uint32_t pe_signature = 0x4550;     // "PE\0\0"
constexpr uint16_t pe32_plus = 0x20b;         // optional header of 64-bit images
constexpr uint64_t directory_count_at = 108;  // in the PE32+ optional header
constexpr uint64_t certificates_at = 144;     // data directory 4: file offset and size
constexpr uint32_t certificates_index = 4;

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

void require_inside(Bytes file, std::string_view what, uint64_t offset, uint64_t size) {
  if (in_bounds(file.size(), offset, size)) return;
  throw Error(Errc::format,
              fmt::format("truncated: {} should reach offset {:#x}, but the image ends at {:#x}", what,
                          offset + size, file.size()));
}

uint64_t certificate_size(Bytes file, Bytes optional_header) {
  if (load<ul16>(optional_header) != pe32_plus) return 0;
  if (load<ul32>(optional_header, directory_count_at).value_or(0) <= certificates_index) return 0;
  std::optional<ul32> offset = load<ul32>(optional_header, certificates_at);
  std::optional<ul32> size = load<ul32>(optional_header, certificates_at + 4);
  if (!offset || !size || *size == 0) return 0;
  require_inside(file, "the signature", *offset, *size);
  return *size;
}

}  // namespace

uint64_t check_pe_sections(Bytes file) {
  if (!as_text(file).starts_with("MZ")) return 0;
  Cursor cursor(file, "PE header");
  cursor.seek(pe_offset_at);
  uint64_t header_at = cursor.u32le();
  cursor.seek(header_at);
  auto coff = cursor.read<Coff>();
  if (coff.signature != pe_signature)
    throw Error(Errc::format, fmt::format("no PE signature at offset {:#x}", header_at));
  Bytes optional_header = cursor.take(coff.optional_size);
  for (unsigned i = 0; i < coff.sections; ++i) {
    auto section = cursor.read<Section>();
    require_inside(file, fmt::format("section {}", i), section.raw_offset, section.raw_size);
  }
  return certificate_size(file, optional_header);
}

}  // namespace kdk
