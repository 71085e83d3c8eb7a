#include "loader/signature/crypto.h"

#include <fmt/format.h>
#include <openssl/err.h>

#include <array>
#include <ctime>

namespace kdk {
namespace {

constexpr std::array<HashAlgorithm, 10> algorithms = {{{"md5", 1, false},
                                                       {"sha1", 2, true},
                                                       {"sha256", 4, true},
                                                       {"sha384", 5, true},
                                                       {"sha512", 6, true},
                                                       {"sha224", 7, false},
                                                       {"sm3", 17, false},
                                                       {"sha3-256", 20, true},
                                                       {"sha3-384", 21, true},
                                                       {"sha3-512", 22, true}}};

}  // namespace

const HashAlgorithm* hash_by_ima_number(uint8_t number) {
  for (const HashAlgorithm& hash : algorithms) {
    if (hash.ima_number == number) return &hash;
  }
  return nullptr;
}

const HashAlgorithm* hash_by_name(std::string_view name) {
  for (const HashAlgorithm& hash : algorithms) {
    if (hash.name == name) return &hash;
  }
  return nullptr;
}

const HashAlgorithm* hash_by_object(const ASN1_OBJECT* object) {
  for (const HashAlgorithm& hash : algorithms) {
    const EVP_MD* md = EVP_get_digestbyname(std::string(hash.name).c_str());
    if (md != nullptr && EVP_MD_get_type(md) == OBJ_obj2nid(object)) return &hash;
  }
  return nullptr;
}

const EVP_MD* evp_digest(const HashAlgorithm& hash) {
  const EVP_MD* md = EVP_get_digestbyname(std::string(hash.name).c_str());
  if (md == nullptr) throw Error(Errc::unsupported, fmt::format("this OpenSSL has no {}", hash.name));
  return md;
}

std::vector<uint8_t> digest_of(const HashAlgorithm& hash, std::span<const Bytes> parts) {
  std::unique_ptr<EVP_MD_CTX, OpensslFree<EVP_MD_CTX_free>> context(EVP_MD_CTX_new());
  std::vector<uint8_t> out(EVP_MAX_MD_SIZE);
  unsigned size = 0;
  bool good = context && EVP_DigestInit_ex(context.get(), evp_digest(hash), nullptr) == 1;
  for (Bytes part : parts) good = good && EVP_DigestUpdate(context.get(), part.data(), part.size()) == 1;
  good = good && EVP_DigestFinal_ex(context.get(), out.data(), &size) == 1;
  clear_openssl_errors();
  if (!good) throw Error(Errc::unsupported, fmt::format("OpenSSL refuses to compute {}", hash.name));
  out.resize(size);
  return out;
}

std::string to_hex(Bytes bytes) {
  std::string out;
  for (uint8_t byte : bytes) out += fmt::format("{:02x}", byte);
  return out;
}

std::string object_name(const ASN1_OBJECT* object) {
  std::array<char, 128> text{};
  // Short names ("sha256") where OpenSSL has one, numbers otherwise.
  if (int nid = OBJ_obj2nid(object); nid != NID_undef) return OBJ_nid2sn(nid);
  OBJ_obj2txt(text.data(), static_cast<int>(text.size()), object, 1);
  return text.data();
}

std::string key_description(const EVP_PKEY* key) {
  if (key == nullptr) return "unknown";
  const char* type = EVP_PKEY_get0_type_name(key);
  std::string name = type != nullptr ? type : "unknown";
  std::array<char, 64> group{};
  size_t size = 0;
  if (name == "EC" && EVP_PKEY_get_group_name(key, group.data(), group.size(), &size) == 1) {
    return fmt::format("EC {}", group.data());
  }
  return fmt::format("{} {}", name, EVP_PKEY_get_bits(key));
}

std::string time_text(const ASN1_TIME* time) {
  struct tm parts {};
  if (time == nullptr || ASN1_TIME_to_tm(time, &parts) != 1) return "";
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", parts.tm_year + 1900, parts.tm_mon + 1,
                     parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec);
}

void clear_openssl_errors() {
  ERR_clear_error();
}

}  // namespace kdk
