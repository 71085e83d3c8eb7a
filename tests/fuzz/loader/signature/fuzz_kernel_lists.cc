// The text files that say what the kernel trusts, demands and can compute: /proc/keys, IMA's policy,
// /proc/crypto. They may be a recording.
#include <cstdlib>

#include "core/base/bytes.h"
#include "loader/signature/kernel_crypto.h"
#include "loader/signature/kernel_keys.h"
#include "loader/signature/kernel_policy.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view text = kdk::as_text({data, size});
  std::map<std::string, uint32_t> keyrings;
  kdk::KernelKeys keys = kdk::parse_kernel_keys(text, keyrings);
  for (const kdk::KernelKey& key : keys.keys) {
    if (key.subject.size() + key.id.size() > size) std::abort();
  }
  for (const kdk::ImaRule& rule : kdk::parse_ima_policy(text)) {
    if (rule.text.size() > size) std::abort();
  }
  kdk::KernelCrypto crypto(std::string(text), kdk::KernelConfig("fuzz", text));
  for (const char* name : {"sha256", "ecdsa", "none"}) crypto.has(name);
  return 0;
}
