#include "loader/signature/certificate.h"

#include <fmt/format.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <climits>

#include "loader/signature/crypto.h"

namespace kdk {
namespace {

std::string name_text(const X509_NAME* name) {
  BioPtr out(BIO_new(BIO_s_mem()));
  X509_NAME_print_ex(out.get(), name, 0, XN_FLAG_RFC2253 & ~static_cast<unsigned long>(ASN1_STRFLGS_ESC_MSB));
  char* text = nullptr;
  long size = BIO_get_mem_data(out.get(), &text);
  return size > 0 ? std::string(text, static_cast<size_t>(size)) : std::string();
}

// The value octets of an INTEGER as encoded: what the kernel compares and prints, leading zero included.
std::vector<uint8_t> integer_octets(const ASN1_INTEGER* integer) {
  std::vector<uint8_t> der = der_of(integer, i2d_ASN1_INTEGER);
  unsigned char const* at = der.data();
  long size = 0;
  int tag = 0;
  int type = 0;
  if (der.empty() || (ASN1_get_object(&at, &size, &tag, &type, static_cast<long>(der.size())) & 0x80) != 0)
    return {};
  return {at, at + size};
}

std::string key_identifier(const ASN1_INTEGER* serial, const X509_NAME* issuer) {
  std::vector<uint8_t> number = integer_octets(serial);
  std::vector<uint8_t> name = der_of(issuer, i2d_X509_NAME);
  return std::string(as_text(number)) + std::string(as_text(name));
}

std::string hex_or_empty(const ASN1_STRING* string) {
  return string != nullptr ? to_hex(bytes_of(string)) : "";
}

// The issuer's name and serial number out of the authority key identifier, when it has both.
std::string authority_identifier(X509* certificate) {
  const ASN1_INTEGER* serial = X509_get0_authority_serial(certificate);
  const GENERAL_NAMES* names = X509_get0_authority_issuer(certificate);
  if (serial == nullptr || names == nullptr) return "";
  for (int i = 0; i < sk_GENERAL_NAME_num(names); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names, i);
    if (name->type == GEN_DIRNAME) return key_identifier(serial, name->d.directoryName);
  }
  return "";
}

BioPtr memory_of(Bytes bytes) {
  if (bytes.size() > INT_MAX) throw Error(Errc::format, "too large");
  return BioPtr(BIO_new_mem_buf(bytes.data(), static_cast<int>(bytes.size())));
}

PublicKey describe_key(std::string name, EVP_PKEY* key) {
  // The usual subject key identifier: SHA-1 of the bits of the public key (RFC 5280, 4.2.1.2, method 1).
  X509_PUBKEY* encoded = nullptr;
  const unsigned char* bits = nullptr;
  int size = 0;
  PublicKey out{std::move(name), "", key_description(key), nullptr};
  if (X509_PUBKEY_set(&encoded, key) == 1 &&
      X509_PUBKEY_get0_param(nullptr, &bits, &size, nullptr, encoded) == 1) {
    Bytes part(bits, static_cast<size_t>(size));
    out.key_id = to_hex(digest_of(*hash_by_ima_number(2), std::span(&part, 1))).substr(32);
  }
  X509_PUBKEY_free(encoded);
  return out;
}

}  // namespace

evp_pkey_st* Certificate::public_key() const {
  EVP_PKEY* found = X509_get0_pubkey(handle.get());
  clear_openssl_errors();
  return found;
}

bool Certificate::signed_by(evp_pkey_st* issuer_key) const {
  bool good = issuer_key != nullptr && X509_verify(handle.get(), issuer_key) == 1;
  clear_openssl_errors();
  return good;
}

std::vector<uint8_t> Certificate::signed_part_digest(bool sha256) const {
  int nid = NID_sha256;
  if (!sha256 && OBJ_find_sigid_algs(X509_get_signature_nid(handle.get()), &nid, nullptr) != 1) return {};
  const HashAlgorithm* hash = hash_by_object(OBJ_nid2obj(nid));
  if (hash == nullptr) return {};
  unsigned char* tbs = nullptr;
  int size = i2d_re_X509_tbs(handle.get(), &tbs);
  std::vector<uint8_t> out;
  if (size > 0) {
    Bytes part(tbs, static_cast<size_t>(size));
    out = digest_of(*hash, std::span(&part, 1));
  }
  OPENSSL_free(tbs);
  return out;
}

Certificate describe_certificate(x509_st* certificate) {
  X509_up_ref(certificate);
  Certificate out;
  out.handle = std::shared_ptr<X509>(certificate, X509_free);
  out.subject = name_text(X509_get_subject_name(certificate));
  out.issuer = name_text(X509_get_issuer_name(certificate));
  out.serial = to_hex(integer_octets(X509_get0_serialNumber(certificate)));
  out.subject_key_id = hex_or_empty(X509_get0_subject_key_id(certificate));
  out.authority_key_id = hex_or_empty(X509_get0_authority_key_id(certificate));
  out.key = key_description(out.public_key());
  out.not_before = time_text(X509_get0_notBefore(certificate));
  out.not_after = time_text(X509_get0_notAfter(certificate));
  out.id = key_identifier(X509_get0_serialNumber(certificate), X509_get_issuer_name(certificate));
  out.authority_id = authority_identifier(certificate);
  bool same_name = der_of(X509_get_subject_name(certificate), i2d_X509_NAME) ==
                   der_of(X509_get_issuer_name(certificate), i2d_X509_NAME);
  bool names_authority = !out.authority_key_id.empty() || !out.authority_id.empty();
  out.self_signed = same_name && (!names_authority || out.authority_key_id == out.subject_key_id ||
                                  out.authority_id == out.id);
  clear_openssl_errors();
  return out;
}

std::optional<Certificate> parse_certificate(Bytes der) {
  const unsigned char* at = der.data();
  if (der.size() > LONG_MAX) return std::nullopt;
  X509* parsed = d2i_X509(nullptr, &at, static_cast<long>(der.size()));
  clear_openssl_errors();
  if (parsed == nullptr) return std::nullopt;
  std::shared_ptr<X509> owner(parsed, X509_free);
  return describe_certificate(parsed);
}

PublicKey public_key_of(const Certificate& certificate) {
  EVP_PKEY* key = certificate.public_key();
  PublicKey out{certificate.subject, "", certificate.key, nullptr};
  if (key == nullptr) return out;
  out = describe_key(certificate.subject, key);
  const std::string& skid = certificate.subject_key_id;
  if (skid.size() >= 8) out.key_id = skid.substr(skid.size() - 8);
  EVP_PKEY_up_ref(key);
  out.handle = std::shared_ptr<EVP_PKEY>(key, EVP_PKEY_free);
  return out;
}

GivenKeys parse_given_keys(Bytes file) {
  GivenKeys out;
  BioPtr pem = memory_of(file);
  while (X509* certificate = PEM_read_bio_X509(pem.get(), nullptr, nullptr, nullptr)) {
    std::shared_ptr<X509> owner(certificate, X509_free);
    out.certificates.push_back(describe_certificate(certificate));
  }
  if (out.certificates.empty()) {
    if (std::optional<Certificate> certificate = parse_certificate(file))
      out.certificates.push_back(*certificate);
  }
  for (const Certificate& certificate : out.certificates) out.keys.push_back(public_key_of(certificate));
  if (out.keys.empty()) {
    BioPtr again = memory_of(file);
    EVP_PKEY* key = PEM_read_bio_PUBKEY(again.get(), nullptr, nullptr, nullptr);
    const unsigned char* at = file.data();
    if (key == nullptr) key = d2i_PUBKEY(nullptr, &at, static_cast<long>(file.size()));
    if (key != nullptr) {
      out.keys.push_back(describe_key("public key", key));
      out.keys.back().handle = std::shared_ptr<EVP_PKEY>(key, EVP_PKEY_free);
    }
  }
  clear_openssl_errors();
  if (out.keys.empty()) throw Error(Errc::format, "neither a certificate nor a public key, in PEM or DER");
  return out;
}

}  // namespace kdk
