// X.509 certificates and bare public keys: what reports show of them, and the identifiers by which the kernel
// finds them in its keyrings.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/base/bytes.h"

struct x509_st;
struct evp_pkey_st;

namespace kdk {

struct Certificate {
  std::string subject;  // RFC 2253
  std::string issuer;
  std::string serial;            // hex, as encoded
  std::string subject_key_id;    // hex; empty when the certificate has none
  std::string authority_key_id;  // hex; empty when the certificate has none
  std::string key;               // "RSA 2048"
  std::string not_before;        // RFC 3339, UTC
  std::string not_after;
  std::shared_ptr<x509_st> handle;

  // The first identifier of a key in a keyring: serial number and issuer, as encoded (kernel:
  // crypto/asymmetric_keys/x509_cert_parser.c, x509_cert_parse).
  std::string id;
  // The same of the issuer, when the certificate names it that way; usually empty.
  std::string authority_id;
  bool self_signed = false;  // by name and identifier; the signature is verified when a chain is walked

  evp_pkey_st* public_key() const;
  // Does `issuer_key` verify this certificate's own signature?
  bool signed_by(evp_pkey_st* issuer_key) const;
  // Hash of the part that is signed ("TBS"), by the hash algorithm of its signature as the kernel computes
  // it, or by SHA-256 as firmware does. Empty when the algorithm is not known here.
  std::vector<uint8_t> signed_part_digest(bool sha256 = false) const;
  bool valid_at(const std::string& rfc3339) const { return not_before <= rfc3339 && rfc3339 <= not_after; }
};

// nullopt when `der` is not one certificate (trailing bytes are allowed: EFI variables may pad).
std::optional<Certificate> parse_certificate(Bytes der);
Certificate describe_certificate(x509_st* certificate);

// A key that may have signed security.ima: alone or out of a certificate.
struct PublicKey {
  std::string name;    // the certificate's subject, or "public key"
  std::string key_id;  // last four bytes of the subject key identifier, hex
  std::string key;
  std::shared_ptr<evp_pkey_st> handle;
};
PublicKey public_key_of(const Certificate& certificate);

struct GivenKeys {
  std::vector<Certificate> certificates;
  std::vector<PublicKey> keys;  // those of the certificates too
};
// A file of PEM certificates, one DER certificate, or one public key in PEM or DER. Throws Error{format}.
GivenKeys parse_given_keys(Bytes file);

}  // namespace kdk
