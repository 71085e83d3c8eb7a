// EFI signature lists (db, dbx, MokListRT) and the certificates in them.
#include <cstdlib>

#include "loader/signature/certificate.h"
#include "loader/signature/efi_variables.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace kdk;
  std::vector<EfiSignature> found;
  try {
    parse_signature_lists(Bytes(data, size), found);
  } catch (const Error&) {
  }
  uint64_t total = 0;
  for (const EfiSignature& entry : found) {
    total += 16 + entry.data.size();
    if (entry.type == EfiSignature::Type::x509) parse_certificate(entry.data);
  }
  if (total > size) std::abort();
  return 0;
}
