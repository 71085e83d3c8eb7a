// What the signature checks share of OpenSSL: owned objects and digests. Included by .cc files of this folder
// only; the headers of this folder name OpenSSL's types without including it.
#pragma once

#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/objects.h>
#include <openssl/x509.h>

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/bytes.h"

namespace kdk {

template <auto Free>
struct OpensslFree {
  template <typename T>
  void operator()(T* object) const {
    Free(object);
  }
};
using BioPtr = std::unique_ptr<BIO, OpensslFree<BIO_free_all>>;
using KeyPtr = std::unique_ptr<EVP_PKEY, OpensslFree<EVP_PKEY_free>>;

// A hash algorithm by the name the kernel uses ("sha256"), its number in security.ima
// (include/uapi/linux/hash_info.h), and whether the kernel takes it for the digest of a PE image
// (crypto/asymmetric_keys/mscode_parser.c).
struct HashAlgorithm {
  std::string_view name;
  uint8_t ima_number;
  bool for_images;
};
// nullptr for an algorithm that is not in the table.
const HashAlgorithm* hash_by_ima_number(uint8_t number);
const HashAlgorithm* hash_by_name(std::string_view name);
const HashAlgorithm* hash_by_object(const ASN1_OBJECT* object);

// The digest of the concatenation of `parts`. Throws Error{unsupported} when this OpenSSL lacks the
// algorithm.
std::vector<uint8_t> digest_of(const HashAlgorithm& hash, std::span<const Bytes> parts);
const EVP_MD* evp_digest(const HashAlgorithm& hash);

// Lower case, no separators.
std::string to_hex(Bytes bytes);
std::string object_name(const ASN1_OBJECT* object);
// "RSA 2048", "EC prime256v1"; "unknown" for nullptr.
std::string key_description(const EVP_PKEY* key);
// "2026-11-23T22:00:00Z"; empty when the time is not valid.
std::string time_text(const ASN1_TIME* time);
inline Bytes bytes_of(const ASN1_STRING* string) {
  return {ASN1_STRING_get0_data(string), static_cast<size_t>(ASN1_STRING_length(string))};
}
// The DER encoding of an object by its i2d function.
template <typename T, typename Encode>
std::vector<uint8_t> der_of(const T* object, Encode encode) {
  unsigned char* buffer = nullptr;
  int size = encode(object, &buffer);
  std::vector<uint8_t> out;
  if (size > 0) out.assign(buffer, buffer + size);
  OPENSSL_free(buffer);
  return out;
}
// Drops what OpenSSL left in its error queue: callers name the cause themselves.
void clear_openssl_errors();

}  // namespace kdk
