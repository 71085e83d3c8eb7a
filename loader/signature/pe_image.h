// The PE/COFF side of a kernel image as Authenticode needs it: which bytes the digest covers, and the entries
// of the certificate table.
//
// Sources: Windows Authenticode Portable Executable Signature Format, "Calculating the PE Image Hash"; PE
// Format specification, "The Attribute Certificate Table"; Linux crypto/asymmetric_keys/verify_pefile.c,
// whose rules decide where the two differ.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/base/bytes.h"
#include "loader/image/pe.h"

namespace kdk {

// One WIN_CERTIFICATE.
struct PeCertificate {
  uint64_t offset = 0;  // in the file
  uint16_t revision = 0;
  uint16_t type = 0;
  Bytes content;        // behind the header, as long as the entry says
  std::string problem;  // why the kernel would not look into it; empty: PKCS#7 SignedData, revision 2
};

struct PeImage {
  PeHeaders headers;
  uint64_t headers_size = 0;    // bytes, from the start of the file
  std::vector<Bytes> digested;  // in digest order
  std::vector<PeCertificate> certificates;
  std::string table_problem;  // the certificate table is cut or contradicts itself; certificates holds what
                              // came before
};

// As read_pe_headers(). Throws Error{format} also for a PE file that leaves no room for a signature.
std::optional<PeImage> parse_pe_image(Bytes file);

}  // namespace kdk
