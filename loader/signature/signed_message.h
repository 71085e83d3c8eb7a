// The signers of a PKCS#7 / CMS SignedData message, seen through the kernel's rules: who signed, with what,
// does the signature hold, and which certificates of the message lead upwards from the signer.
//
// Source: Linux crypto/asymmetric_keys/pkcs7_parser.c and pkcs7_verify.c. In particular: validity dates of
// certificates are not compared with the clock; a signing time inside the message must lie in the signer's
// validity.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "loader/signature/certificate.h"

struct pkcs7_st;

namespace kdk {

struct Signer {
  std::string
      named_id;  // of the signing certificate as Certificate::id, or its subject key id (hex) with CMS
  std::string named_issuer;  // for people
  std::string named_serial;  // hex
  std::string digest;        // "sha256"; OpenSSL's name when the kernel has no such algorithm
  std::string signed_at;     // RFC 3339; empty when the message does not say
  // The signer's certificate and its issuers as far as the message carries them, each signature verified.
  // Empty: the certificate is not in the message, and only its owner's keyring can verify.
  std::vector<Certificate> chain;
  std::string problem;  // broken or against the kernel's rules; empty: nothing known against it
  std::string error = "EKEYREJECTED";  // the kernel's errno for the problem
  bool unsupported_crypto = false;     // the kernel skips such a signer instead of refusing the message
  Bytes signature;                     // inside the message, which `verify` keeps
  // Does this certificate's key verify the signature over the content? Always false when the content does not
  // match.
  std::function<bool(const Certificate&)> verify;
};

struct SignedMessage {
  std::vector<Signer> signers;
};

// The parts of an Authenticode message: SignedData over SpcIndirectDataContent.
struct AuthenticodeMessage {
  SignedMessage message;
  std::string digest_algorithm;  // of the image
  std::vector<uint8_t> digest;   // that was signed
};
// Throws Error{format} when `der` is no such message; the text says what it is instead.
AuthenticodeMessage parse_authenticode_message(Bytes der);

// A message over detached `content`, as appended to modules: no content and no attributes inside.
SignedMessage parse_detached_message(Bytes der, Bytes content);

// Size of the DER element at the start of `bytes`, header included. nullopt when its header is cut, of
// indefinite length, or says more than there is.
std::optional<uint64_t> der_element_size(Bytes bytes);

}  // namespace kdk
