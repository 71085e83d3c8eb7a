// A module-style signature at the end of a file: PKCS#7, a 12-byte descriptor, a marker. IMA takes it for a
// kernel image when a rule says appraise_type=imasig|modsig.
//
// Source: Linux scripts/sign-file.c, include/linux/module_signature.h, kernel/module_signature.c
// (mod_check_sig).
#pragma once

#include <optional>

#include "core/base/bytes.h"

namespace kdk {

struct AppendedSignature {
  Bytes content;  // what is signed
  Bytes message;  // PKCS#7, DER
};
// nullopt when the marker is not there. Throws Error{format} when the descriptor contradicts the file.
std::optional<AppendedSignature> find_appended_signature(Bytes file);

}  // namespace kdk
