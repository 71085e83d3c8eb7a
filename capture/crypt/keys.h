// X25519 key pairs for sealed dumps. The public key goes onto the machines that may crash, the secret key
// stays with who reads the dumps.
//
// Files are one line of text: "kdumpkit-public-key-1 BASE64" and "kdumpkit-secret-key-1 BASE64".
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace kdk {

struct PublicKey {
  std::array<uint8_t, 32> bytes{};
};

// Wiped when it goes.
struct SecretKey {
  std::array<uint8_t, 32> bytes{};
  SecretKey() = default;
  SecretKey(const SecretKey&) = default;
  SecretKey& operator=(const SecretKey&) = default;
  ~SecretKey();
};

// Makes libsodium ready; may be called again and again. Throws Error{io}.
void start_crypto();

SecretKey make_secret_key();
PublicKey public_key_of(const SecretKey& key);

// `name` is for messages. Throws Error{format}.
PublicKey parse_public_key(std::string_view text, std::string_view name);
SecretKey parse_secret_key(std::string_view text, std::string_view name);
std::string to_text(const PublicKey& key);
std::string to_text(const SecretKey& key);

// Throws Error{missing,denied,io,format}.
PublicKey read_public_key(const std::filesystem::path& file);
SecretKey read_secret_key(const std::filesystem::path& file);

}  // namespace kdk
