// In place of the rest of this folder in a program that is built without libsodium (KDK_CRYPT=OFF).
#include "capture/crypt/decrypt.h"
#include "capture/crypt/keys.h"
#include "capture/crypt/seal.h"
#include "core/base/error.h"

namespace kdk {
namespace {

[[noreturn]] void unavailable() {
  throw Error(Errc::unsupported, "this program was built without libsodium: it can neither seal nor open")
      .with_hint("build with KDK_CRYPT=ON");
}

}  // namespace

SecretKey::~SecretKey() = default;
SecretKey make_secret_key() {
  unavailable();
}
PublicKey public_key_of(const SecretKey&) {
  unavailable();
}
std::string to_text(const PublicKey&) {
  unavailable();
}
std::string to_text(const SecretKey&) {
  unavailable();
}
PublicKey read_public_key(const std::filesystem::path&) {
  unavailable();
}
MakeStreamFilter seal_stream(const PublicKey&) {
  unavailable();
}
std::vector<uint8_t> seal_file(const PublicKey&, Bytes) {
  unavailable();
}
Decrypted decrypt(const DecryptOptions&, const std::atomic<bool>&) {
  unavailable();
}

}  // namespace kdk
