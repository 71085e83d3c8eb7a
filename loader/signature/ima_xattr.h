// The extended attribute security.ima: a digest of the file, or a signature over one.
//
// Source: Linux security/integrity/integrity.h (evm_ima_xattr_type, signature_v2_hdr, ima_file_id),
// security/integrity/ima/ima_appraise.c (xattr_verify), security/integrity/digsig_asymmetric.c.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "loader/signature/certificate.h"

namespace kdk {

struct ImaAttribute {
  enum class Kind { digest, signature, verity_signature, other };
  Kind kind = Kind::other;
  uint8_t type = 0;
  uint8_t version = 0;  // of a signature: 2 or 3
  std::string algorithm;
  std::vector<uint8_t> digest;     // kind digest
  std::string key_id;              // kind signature: 8 hex digits
  std::vector<uint8_t> signature;  // kind signature
};

// The attribute of the file behind `path`. nullopt when it has none or its file system has no such
// attributes. Throws Error{denied, io}.
std::optional<std::vector<uint8_t>> read_ima_attribute(const std::filesystem::path& path);

// Throws Error{format} when cut or contradictory.
ImaAttribute parse_ima_attribute(Bytes value);

// Does `key` verify the signature over `file`? The hash of version 3 is over {type, algorithm, digest of the
// file}. Throws Error{unsupported} for an algorithm this OpenSSL lacks.
bool verify_ima_signature(const ImaAttribute& attribute, Bytes file, const PublicKey& key);
// Is the digest that of `file`?
bool ima_digest_matches(const ImaAttribute& attribute, Bytes file);

}  // namespace kdk
