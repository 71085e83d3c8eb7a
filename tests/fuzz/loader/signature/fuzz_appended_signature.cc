// Module-style signatures at the end of a file, and the message in them.
#include <cstdlib>

#include "loader/signature/appended_signature.h"
#include "loader/signature/signed_message.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace kdk;
  try {
    std::optional<AppendedSignature> found = find_appended_signature(Bytes(data, size));
    if (!found) return 0;
    if (found->content.size() + found->message.size() >= size) std::abort();
    for (const Signer& signer : parse_detached_message(found->message, found->content).signers) {
      // A signer without a problem, whose certificate is there, is one whose signature holds.
      bool holds = signer.chain.empty() || signer.verify(signer.chain.front());
      if (signer.problem.empty() && !holds) std::abort();
    }
  } catch (const Error&) {
  }
  return 0;
}
