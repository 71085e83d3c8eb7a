// EFI variables as efivarfs shows them, and the signature lists in db, dbx and shim's MokListRT.
//
// Sources: UEFI specification, "Signature Database" (EFI_SIGNATURE_LIST); Linux fs/efivarfs (four bytes of
// attributes before the value), security/integrity/platform_certs/efi_parser.c and keyring_handler.c.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/file.h"

namespace kdk {

struct EfiVariable {
  uint32_t attributes = 0;
  std::vector<uint8_t> value;
};
inline constexpr uint32_t efi_non_volatile = 1;
inline constexpr std::string_view efi_global_guid = "8be4df61-93ca-11d2-aa0d-00e098032b8c";
inline constexpr std::string_view efi_database_guid = "d719b2cb-3d3a-4596-a3bc-dad00e67656f";  // db, dbx
inline constexpr std::string_view shim_lock_guid = "605dab50-e046-4300-abb6-3dd810dd8b23";     // Mok*

// nullopt when there is no such variable (or no EFI). Throws Error{denied, io, format}.
std::optional<EfiVariable> read_efi_variable(const SysRoot& root, std::string_view name,
                                             std::string_view guid);

struct EfiSignature {
  enum class Type { x509, sha256, x509_sha256, other };
  Type type = Type::other;
  std::string owner;  // GUID
  std::vector<uint8_t>
      data;  // certificate, image digest, or digest of a certificate's signed part plus a time
};
// The entries of concatenated EFI_SIGNATURE_LISTs. Throws Error{format} as soon as one contradicts itself:
// the kernel keeps the entries before that point, so does `out`.
void parse_signature_lists(Bytes lists, std::vector<EfiSignature>& out);

}  // namespace kdk
