#include "loader/signature/pe_image.h"

#include <fmt/format.h>

#include <algorithm>

namespace kdk {
namespace {

constexpr uint64_t checksum_at = 64, headers_size_at = 60;  // in the optional header, both kinds
constexpr uint64_t certificate_header = 8;
constexpr uint16_t revision_2 = 0x0200;
constexpr uint16_t type_signed_data = 0x0002;
constexpr size_t max_certificates = 64;  // a handful is usual; the walk has to end

struct WinCertificate {
  ul32 length;
  ul16 revision;
  ul16 type;
};
static_assert(sizeof(WinCertificate) == certificate_header);

[[noreturn]] void fail(std::string why) {
  throw Error(Errc::format, std::move(why));
}

// Headers without the checksum and the table's directory entry, sections by file offset, then whatever
// follows the sections except the table. What follows is counted in bytes digested so far, as the
// specification has it and the kernel does it; a gap between sections shifts that window, and the digest is
// still the one that signers compute.
void collect_digested(Bytes file, PeImage& pe) {
  const PeHeaders& headers = pe.headers;
  const uint64_t checksum_offset = headers.optional_at + checksum_at;
  auto add = [&](uint64_t start, uint64_t end) { pe.digested.push_back(file.subspan(start, end - start)); };
  add(0, checksum_offset);
  add(checksum_offset + 4, *headers.table_entry_at);
  add(*headers.table_entry_at + 8, pe.headers_size);
  std::vector<PeSection> sorted = headers.sections;
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const PeSection& a, const PeSection& b) { return a.offset < b.offset; });
  uint64_t counted = pe.headers_size;
  for (const PeSection& section : sorted) {
    if (section.size == 0) continue;
    add(section.offset, section.offset + section.size);
    counted += section.size;
  }
  if (file.size() <= counted) return;
  if (counted + headers.table_size > file.size()) {
    fail("the sections and the certificate table together are larger than the file");
  }
  add(counted, file.size() - headers.table_size);
}

std::string entry_problem(const WinCertificate& header) {
  if (header.revision != revision_2)
    return fmt::format("revision {:#06x}, not 0x0200", uint16_t{header.revision});
  if (header.type != type_signed_data)
    return fmt::format("type {:#06x}, not PKCS#7 SignedData (0x0002)", uint16_t{header.type});
  return "";
}

void read_certificates(Bytes file, PeImage& pe) {
  Bytes table = file.subspan(pe.headers.table_offset, pe.headers.table_size);
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
      pe.table_problem =
          fmt::format("the entry at offset {:#x} says {} bytes, where {} are left",
                      pe.headers.table_offset + at, uint32_t{header->length}, table.size() - at);
      return;
    }
    if (pe.certificates.size() == max_certificates) {
      pe.table_problem = fmt::format("more than {} entries", max_certificates);
      return;
    }
    Bytes content = table.subspan(at + certificate_header, header->length - certificate_header);
    pe.certificates.push_back(
        {pe.headers.table_offset + at, header->revision, header->type, content, entry_problem(*header)});
    at += align_up(header->length, 8);
  }
}

}  // namespace

std::optional<PeImage> parse_pe_image(Bytes file) {
  std::optional<PeHeaders> headers = read_pe_headers(file);
  if (!headers) return std::nullopt;
  PeImage pe;
  pe.headers = std::move(*headers);
  if (!pe.headers.table_entry_at)
    fail("the PE optional header is of an unknown kind or has no room for a certificate table");
  pe.headers_size = *load<ul32>(pe.headers.optional_header, headers_size_at);
  if (pe.headers_size > file.size() || pe.headers.sections_end > pe.headers_size) {
    fail(fmt::format("the PE headers say {} bytes, which does not fit", pe.headers_size));
  }
  if (pe.headers.table_size != 0 && pe.headers.table_offset < pe.headers_size) {
    fail(fmt::format("the certificate table at offset {:#x} is inside the headers", pe.headers.table_offset));
  }
  collect_digested(file, pe);
  read_certificates(file, pe);
  return pe;
}

}  // namespace kdk
