#include "loader/image/pe.h"

#include <fmt/format.h>

#include <array>

#include "core/base/error.h"

namespace kdk {
namespace {

constexpr uint64_t pe_offset_at = 0x3c;
constexpr uint32_t pe_signature = 0x4550;  // "PE\0\0"
// Kinds of optional header, of 32-bit and 64-bit images, and where each counts its data directories.
constexpr uint16_t pe32 = 0x10b, pe32_plus = 0x20b;
constexpr uint64_t pe32_count_at = 92, pe32_plus_count_at = 108;
constexpr uint64_t directory_size = 8;      // file offset and size
constexpr uint32_t certificates_index = 4;  // of the certificate table among the directories

struct Coff {
  ul32 signature;
  ul16 machine;
  ul16 sections;
  std::array<ul32, 3> skipped;
  ul16 optional_size;
  ul16 characteristics;
};
struct SectionHeader {
  std::array<uint8_t, 8> name;
  ul32 virtual_size;
  ul32 virtual_address;
  ul32 raw_size;
  ul32 raw_offset;
  std::array<ul32, 4> skipped;
};
static_assert(sizeof(Coff) == 24 && sizeof(SectionHeader) == 40);

void require_inside(Bytes file, std::string_view what, uint64_t offset, uint64_t size) {
  if (in_bounds(file.size(), offset, size)) return;
  throw Error(Errc::format, fmt::format("truncated: {} should reach offset {:#x}, but the file ends at {:#x}",
                                        what, offset + size, file.size()));
}

bool begins_as_dos_program(Bytes file) {
  return as_text(file).starts_with("MZ");
}

void find_certificates(Bytes file, PeHeaders& pe) {
  const uint16_t kind = load<ul16>(pe.optional_header).value_or(ul16(0));
  if (kind != pe32 && kind != pe32_plus) return;
  const uint64_t count_at = kind == pe32_plus ? pe32_plus_count_at : pe32_count_at;
  const uint64_t entry_at = count_at + sizeof(ul32) + directory_size * certificates_index;
  const auto count = load<ul32>(pe.optional_header, count_at);
  const auto offset = load<ul32>(pe.optional_header, entry_at);
  const auto size = load<ul32>(pe.optional_header, entry_at + sizeof(ul32));
  if (!count || *count <= certificates_index || !offset || !size) return;
  pe.table_entry_at = pe.optional_at + entry_at;
  if (*offset == 0 || *size == 0) return;
  require_inside(file, "the certificate table", *offset, *size);
  pe.table_offset = *offset;
  pe.table_size = *size;
}

}  // namespace

std::optional<PeHeaders> read_pe_headers(Bytes file) {
  if (!begins_as_dos_program(file)) return std::nullopt;
  const auto coff_at = load<ul32>(file, pe_offset_at);
  const auto coff = coff_at ? load<Coff>(file, *coff_at) : std::nullopt;
  if (!coff || coff->signature != pe_signature) return std::nullopt;
  PeHeaders pe;
  pe.machine = coff->machine;
  Cursor cursor(file, "PE header");
  pe.optional_at = uint64_t{*coff_at} + sizeof(Coff);
  cursor.seek(pe.optional_at);
  pe.optional_header = cursor.take(coff->optional_size);
  for (unsigned i = 0; i < coff->sections; ++i) {
    const uint64_t name_at = cursor.offset();
    const auto header = cursor.read<SectionHeader>();
    const std::string_view name = as_text(file.subspan(name_at, header.name.size()));
    require_inside(file, fmt::format("section {}", i), header.raw_offset, header.raw_size);
    pe.sections.push_back(
        {name.substr(0, name.find('\0')), header.raw_offset, header.raw_size, header.virtual_size});
  }
  pe.sections_end = cursor.offset();
  find_certificates(file, pe);
  return pe;
}

uint64_t pe_signature_size(Bytes file) {
  if (!begins_as_dos_program(file)) return 0;
  const std::optional<PeHeaders> pe = read_pe_headers(file);
  if (!pe) throw Error(Errc::format, fmt::format("no PE header where offset {:#x} says", pe_offset_at));
  return pe->table_size;
}

}  // namespace kdk
