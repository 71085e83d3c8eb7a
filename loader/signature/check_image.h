// `kdump-load check-image`: who signed a kernel image, does the signature hold, and will the running kernel
// take it.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "loader/signature/forecast.h"
#include "loader/signature/ima_xattr.h"
#include "loader/signature/trust.h"

namespace kdk {

struct SignerReport {
  std::string subject;  // empty when the certificate is not in the message
  std::string issuer;
  std::string serial;
  std::string key_id;
  std::string key;     // "RSA 2048"; empty as above
  std::string digest;  // algorithm
  std::string not_before;
  std::string not_after;
  std::string signed_at;
  std::string problem;  // why this signature does not hold
  Trust trust;
};

// One signature: a PKCS#7 message with its signers, or security.ima.
struct SignatureReport {
  // unverified: nothing is wrong with it, but the key that could verify it is not known here.
  enum class State { valid, invalid, unverified };
  std::string kind;      // "authenticode", "appended", "ima"
  size_t layer = 0;      // index into ImageCheck::layers
  bool decides = false;  // the kernel looks at this one
  State state = State::invalid;
  std::string problem;  // why invalid or unverified
  std::string
      error;  // errno with which the kernel's check of it ends, who signed it included; empty: none known
  bool found_last = false;  // invalid, but the kernel asks whether it trusts the signer before it finds that
  std::string digest_algorithm;
  std::string digest;         // of the image, hex, as computed
  std::string signed_digest;  // hex, as signed; empty when the message does not say
  std::vector<SignerReport> signers;
  std::vector<Revocation> revocations;
};
std::string_view to_string(SignatureReport::State state);

struct LayerReport {
  std::string format;
  uint64_t size = 0;
  bool big_endian = false;
  std::string pe_problem;    // the PE headers or the certificate table are damaged
  std::string image_digest;  // SHA-256 by Authenticode's rules; empty: no PE image
};

struct ImageCheck {
  std::string path;
  std::string sha256;  // of the file
  std::vector<LayerReport> layers;
  std::string layers_problem;
  std::vector<SignatureReport> signatures;
  std::string ima_attribute;  // "none", "digest sha256: matches", ...: what security.ima holds
  KernelPolicy policy;
  std::vector<std::string> problems;  // what could not be read of the machine
  Forecast forecast;
};

struct CheckImageOptions {
  std::string image;
  std::vector<std::string> certificates;  // files
  std::string sysroot = "/";
};

// False in programs built without OpenSSL: there check_image throws Error{unsupported}.
extern const bool can_check_images;

// Throws Error{format} when the file is no kernel image, and what reading it or a certificate throws.
ImageCheck check_image(const CheckImageOptions& options);

std::string image_check_to_text(const ImageCheck& check);
std::string image_check_to_json(const ImageCheck& check);

}  // namespace kdk
