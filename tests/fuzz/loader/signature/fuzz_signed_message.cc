// PKCS#7 messages by themselves: as in a PE certificate table, and detached as behind modules.
#include <cstdlib>

#include "core/base/error.h"
#include "loader/signature/signed_message.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace kdk;
  Bytes message(data, size);
  if (std::optional<uint64_t> length = der_element_size(message); length && *length > size) std::abort();
  auto look_at = [](const SignedMessage& found) {
    for (const Signer& signer : found.signers) {
      if (signer.verify && !signer.chain.empty()) signer.verify(signer.chain.front());
    }
  };
  try {
    AuthenticodeMessage found = parse_authenticode_message(message);
    if (found.digest.size() > size) std::abort();
    look_at(found.message);
  } catch (const Error&) {
  }
  try {
    look_at(parse_detached_message(message, as_bytes("content")));
  } catch (const Error&) {
  }
  return 0;
}
