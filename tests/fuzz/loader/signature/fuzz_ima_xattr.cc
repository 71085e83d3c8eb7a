// security.ima: parsed, and compared with a file.
#include <cstdlib>

#include "loader/signature/ima_xattr.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace kdk;
  static const std::vector<uint8_t> file(64, 0x5a);
  try {
    ImaAttribute attribute = parse_ima_attribute(Bytes(data, size));
    if (attribute.digest.size() + attribute.signature.size() > size) std::abort();
    if (attribute.kind == ImaAttribute::Kind::digest) ima_digest_matches(attribute, file);
  } catch (const Error&) {
  }
  return 0;
}
