// The PE/COFF side of a kernel image as Authenticode needs it: which bytes the digest covers, and the entries
// of the certificate table.
//
// Sources: Windows Authenticode Portable Executable Signature Format, "Calculating the PE Image Hash"; PE
// Format specification, "The Attribute Certificate Table"; Linux crypto/asymmetric_keys/verify_pefile.c,
// whose rules decide where the two differ.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/bytes.h"

namespace kdk {

struct PeSection {
  std::string_view name;
  uint64_t offset = 0;  // in the file
  uint64_t size = 0;
};

// One WIN_CERTIFICATE.
struct PeCertificate {
  uint64_t offset = 0;  // in the file
  uint16_t revision = 0;
  uint16_t type = 0;
  Bytes content;        // behind the header, as long as the entry says
  std::string problem;  // why the kernel would not look into it; empty: PKCS#7 SignedData, revision 2
};

struct PeImage {
  uint16_t machine = 0;  // COFF machine type
  uint64_t checksum_offset = 0;
  uint64_t table_entry_offset = 0;  // of the data directory entry that names the certificate table
  uint64_t headers_size = 0;
  uint64_t table_offset = 0;
  uint64_t table_size = 0;          // 0: not signed
  std::vector<PeSection> sections;  // in the order of the section table
  std::vector<Bytes> digested;      // in digest order
  std::vector<PeCertificate> certificates;
  std::string table_problem;  // the certificate table is cut or contradicts itself; certificates holds what
                              // came before
};

// nullopt when `file` is no PE file ("MZ" and a PE header offset that leads to "PE\0\0"). Throws
// Error{format} for a PE file whose headers, sections or certificate table reach outside of the file.
std::optional<PeImage> parse_pe_image(Bytes file);

}  // namespace kdk
