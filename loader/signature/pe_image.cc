#include "loader/signature/pe_image.h"

#include <fmt/format.h>

#include <algorithm>

namespace kdk {
namespace {

constexpr uint64_t pe_offset_at = 0x3c;
constexpr uint32_t pe_signature = 0x4550;
constexpr uint64_t checksum_at = 64;  // in the optional header, both forms
constexpr uint64_t headers_size_at = 60;
constexpr uint64_t table_directory = 4;  // index of the certificate table among the data directories
constexpr uint64_t certificate_header = 8;
constexpr uint16_t revision_2 = 0x0200;
constexpr uint16_t type_signed_data = 0x0002;
constexpr size_t max_certificates = 64;  // a handful is usual; the walk has to end

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
struct WinCertificate {
  ul32 length;
  ul16 revision;
  ul16 type;
};
static_assert(sizeof(Coff) == 24 && sizeof(SectionHeader) == 40 &&
              sizeof(WinCertificate) == certificate_header);

[[noreturn]] void fail(std::string why) {
  throw Error(Errc::format, std::move(why));
}

void read_sections(Bytes file, uint64_t table_at, unsigned count, PeImage& pe) {
  Cursor cursor(file, "PE section table");
  cursor.seek(table_at);
  for (unsigned i = 0; i < count; ++i) {
    uint64_t name_at = cursor.offset();
    auto header = cursor.read<SectionHeader>();
    std::string_view name = as_text(file.subspan(name_at, header.name.size()));
    if (!in_bounds(file.size(), header.raw_offset, header.raw_size)) {
      fail(fmt::format("truncated: section {} should reach offset {:#x}, but the file ends at {:#x}", i,
                       uint64_t{header.raw_offset} + header.raw_size, file.size()));
    }
    pe.sections.push_back({name.substr(0, name.find('\0')), header.raw_offset, header.raw_size});
  }
}

// Headers without the checksum and the table's directory entry, sections by file offset, then whatever
// follows the sections except the table. What follows is counted in bytes digested so far, as the
// specification has it and the kernel does it; a gap between sections shifts that window, and the digest is
// still the one that signers compute.
void collect_digested(Bytes file, PeImage& pe) {
  auto add = [&](uint64_t start, uint64_t end) { pe.digested.push_back(file.subspan(start, end - start)); };
  add(0, pe.checksum_offset);
  add(pe.checksum_offset + 4, pe.table_entry_offset);
  add(pe.table_entry_offset + 8, pe.headers_size);
  std::vector<PeSection> sorted = pe.sections;
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const PeSection& a, const PeSection& b) { return a.offset < b.offset; });
  uint64_t counted = pe.headers_size;
  for (const PeSection& section : sorted) {
    if (section.size == 0) continue;
    add(section.offset, section.offset + section.size);
    counted += section.size;
  }
  if (file.size() <= counted) return;
  if (counted + pe.table_size > file.size()) {
    fail("the sections and the certificate table together are larger than the file");
  }
  add(counted, file.size() - pe.table_size);
}

std::string entry_problem(const WinCertificate& header) {
  if (header.revision != revision_2)
    return fmt::format("revision {:#06x}, not 0x0200", uint16_t{header.revision});
  if (header.type != type_signed_data)
    return fmt::format("type {:#06x}, not PKCS#7 SignedData (0x0002)", uint16_t{header.type});
  return "";
}

void read_certificates(Bytes file, PeImage& pe) {
  Bytes table = file.subspan(pe.table_offset, pe.table_size);
  for (uint64_t at = 0; at < table.size();) {
    std::optional<WinCertificate> header = load<WinCertificate>(table, at);
    if (!header) {
      // sbsign rounds the table's size up, others do not: fewer bytes than a header, all zero, are padding.
      bool padding = std::all_of(table.begin() + static_cast<ptrdiff_t>(at), table.end(),
                                 [](uint8_t b) { return b == 0; });
      if (!padding || pe.certificates.empty())
        pe.table_problem = "the certificate table ends inside an entry";
      return;
    }
    if (header->length < certificate_header || !in_bounds(table.size(), at, header->length)) {
      pe.table_problem = fmt::format("the entry at offset {:#x} says {} bytes, where {} are left",
                                     pe.table_offset + at, uint32_t{header->length}, table.size() - at);
      return;
    }
    if (pe.certificates.size() == max_certificates) {
      pe.table_problem = fmt::format("more than {} entries", max_certificates);
      return;
    }
    Bytes content = table.subspan(at + certificate_header, header->length - certificate_header);
    pe.certificates.push_back(
        {pe.table_offset + at, header->revision, header->type, content, entry_problem(*header)});
    at += align_up(header->length, 8);
  }
}

}  // namespace

std::optional<PeImage> parse_pe_image(Bytes file) {
  if (!as_text(file).starts_with("MZ")) return std::nullopt;
  std::optional<ul32> coff_at = load<ul32>(file, pe_offset_at);
  std::optional<Coff> coff = coff_at ? load<Coff>(file, *coff_at) : std::nullopt;
  if (!coff || coff->signature != pe_signature) return std::nullopt;
  PeImage pe;
  pe.machine = coff->machine;
  uint64_t optional_at = *coff_at + sizeof(Coff);
  std::optional<Bytes> optional_header = subspan(file, optional_at, coff->optional_size);
  uint16_t magic = optional_header ? load<ul16>(*optional_header).value_or(ul16(0)) : ul16(0);
  if (magic != 0x10b && magic != 0x20b) fail("the PE optional header is cut off or of an unknown kind");
  uint64_t count_at = magic == 0x20b ? 108 : 92;
  uint64_t entry_at = count_at + 4 + 8 * table_directory;
  std::optional<ul32> count = load<ul32>(*optional_header, count_at);
  std::optional<ul32> headers_size = load<ul32>(*optional_header, headers_size_at);
  if (!count || *count <= table_directory || entry_at + 8 > optional_header->size()) {
    fail("the PE header has no room for a certificate table");
  }
  pe.checksum_offset = optional_at + checksum_at;
  pe.table_entry_offset = optional_at + entry_at;
  pe.headers_size = *headers_size;
  pe.table_offset = *load<ul32>(*optional_header, entry_at);
  pe.table_size = *load<ul32>(*optional_header, entry_at + 4);
  uint64_t sections_at = optional_at + coff->optional_size;
  if (pe.headers_size > file.size() || sections_at + uint64_t{40} * coff->sections > pe.headers_size) {
    fail(fmt::format("the PE headers say {} bytes, which does not fit", pe.headers_size));
  }
  read_sections(file, sections_at, coff->sections, pe);
  if (pe.table_offset == 0) pe.table_size = 0;
  if (pe.table_size != 0 &&
      (pe.table_offset < pe.headers_size || !in_bounds(file.size(), pe.table_offset, pe.table_size))) {
    fail(fmt::format("truncated: the certificate table should reach offset {:#x}, but the file ends at {:#x}",
                     pe.table_offset + pe.table_size, file.size()));
  }
  collect_digested(file, pe);
  read_certificates(file, pe);
  return pe;
}

}  // namespace kdk
