#include "capture/crypt/keys.h"

#include <fmt/format.h>
#include <sodium.h>

#include "core/base/error.h"
#include "core/base/file.h"

namespace kdk {
namespace {

constexpr std::string_view public_word = "kdumpkit-public-key-1", secret_word = "kdumpkit-secret-key-1";
constexpr uint64_t largest_file = 4096;
constexpr int base64 = sodium_base64_VARIANT_ORIGINAL;

static_assert(crypto_box_PUBLICKEYBYTES == 32 && crypto_box_SECRETKEYBYTES == 32);

void parse_key(std::string_view text, std::string_view word, std::string_view name,
               std::array<uint8_t, 32>& out) {
  start_crypto();
  while (text.ends_with('\n') || text.ends_with('\r') || text.ends_with(' ')) text.remove_suffix(1);
  if (!text.starts_with(word)) {
    const bool other = text.starts_with(word == public_word ? secret_word : public_word);
    Error error(Errc::format,
                fmt::format("{}: is no {} key", name, word == public_word ? "public" : "secret"));
    if (other)
      error.with_hint(word == public_word ? "it is a secret one; that stays with who reads the dumps"
                                          : "it is a public one");
    throw error;
  }
  text.remove_prefix(word.size());
  if (!text.starts_with(' ')) throw Error(Errc::format, fmt::format("{}: of an unknown version", name));
  text.remove_prefix(1);
  size_t size = 0;
  const char* end = nullptr;
  const bool good =
      sodium_base642bin(out.data(), out.size(), text.data(), text.size(), nullptr, &size, &end, base64) == 0;
  if (!good || size != out.size() || end != text.data() + text.size())
    throw Error(Errc::format, fmt::format("{}: the key is damaged", name));
}

std::string key_text(std::string_view word, const std::array<uint8_t, 32>& bytes) {
  std::string text(sodium_base64_encoded_len(bytes.size(), base64), '\0');
  sodium_bin2base64(text.data(), text.size(), bytes.data(), bytes.size(), base64);
  text.pop_back();  // the NUL
  return fmt::format("{} {}\n", word, text);
}

}  // namespace

void start_crypto() {
  if (sodium_init() < 0) throw Error(Errc::io, "libsodium cannot be started: no source of random numbers");
}

SecretKey::~SecretKey() {
  sodium_memzero(bytes.data(), bytes.size());
}

SecretKey make_secret_key() {
  start_crypto();
  SecretKey secret;
  PublicKey key;
  crypto_box_keypair(key.bytes.data(), secret.bytes.data());
  return secret;
}

PublicKey public_key_of(const SecretKey& key) {
  start_crypto();
  PublicKey result;
  crypto_scalarmult_base(result.bytes.data(), key.bytes.data());
  return result;
}

PublicKey parse_public_key(std::string_view text, std::string_view name) {
  PublicKey key;
  parse_key(text, public_word, name, key.bytes);
  return key;
}

SecretKey parse_secret_key(std::string_view text, std::string_view name) {
  SecretKey key;
  parse_key(text, secret_word, name, key.bytes);
  return key;
}

std::string to_text(const PublicKey& key) {
  return key_text(public_word, key.bytes);
}

std::string to_text(const SecretKey& key) {
  return key_text(secret_word, key.bytes);
}

PublicKey read_public_key(const std::filesystem::path& file) {
  return parse_public_key(read_text_file(file, largest_file), file.string());
}

SecretKey read_secret_key(const std::filesystem::path& file) {
  std::string text = read_text_file(file, largest_file);
  const SecretKey key = parse_secret_key(text, file.string());
  sodium_memzero(text.data(), text.size());
  return key;
}

}  // namespace kdk
