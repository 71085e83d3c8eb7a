// Which keys the kernel trusts and which it refuses, gathered from what the machine shows: the kernel's own
// list, the firmware's and shim's variables, and certificates given by the user.
//
// Source: Linux crypto/asymmetric_keys/pkcs7_trust.c (how a chain meets a keyring), kernel/kexec_file.c
// (kexec_kernel_verify_pe_sig: builtin and secondary keyrings, then .platform),
// security/integrity/platform_certs/ load_uefi.c (db and MokListRT become keys; dbx and MokListXRT become
// revocations).
#pragma once

#include <string>
#include <vector>

#include "loader/signature/efi_variables.h"
#include "loader/signature/kernel_keys.h"
#include "loader/signature/kernel_policy.h"
#include "loader/signature/signed_message.h"

namespace kdk {

// A certificate and where it comes from: "--cert FILE", "db", "MokListRT".
struct Anchor {
  Certificate certificate;
  std::string source;
  bool given = false;  // by the user, who says that the kernel has it
};
struct GivenKey {
  PublicKey key;
  std::string source;
};
struct ForbiddenEntry {
  EfiSignature signature;
  std::string source;  // "dbx", "MokListXRT"
};

struct TrustSources {
  std::vector<Anchor> anchors;
  std::vector<GivenKey> keys;  // bare public keys too; for IMA
  std::vector<ForbiddenEntry> forbidden;
  KernelKeys kernel;
  std::vector<std::string> problems;  // sources that could not be read, a sentence each
};

// Everything below `root`; an unreadable source is a problem, never an exception.
TrustSources read_trust_sources(const SysRoot& root, const KernelPolicy& policy);
// Adds what the user gave, under the name `name`.
void add_given_keys(TrustSources& sources, const std::string& name, const GivenKeys& given);

struct Trust {
  enum class State { trusted, untrusted, unknown };
  State state = State::unknown;
  std::string by;             // the source that decided: "/proc/keys (.platform)", "db", "--cert FILE"
  std::string detail;         // a sentence
  bool platform_key = false;  // trusted, by a key that is in .platform and no other keyring that counts
};
std::string_view to_string(Trust::State state);

enum class KeyUse { image, ima };  // which keyrings count
Trust judge_trust(const Signer& signer, const TrustSources& sources, KeyUse use);

// The same for security.ima, which names its key by four bytes only. `verified_by` is the given key that
// verified the signature, nullptr when none did.
Trust judge_ima_trust(const std::string& key_id, const GivenKey* verified_by, const TrustSources& sources);

struct Revocation {
  enum class Effect { refused, firmware_only, unknown };  // on kexec
  std::string source;
  std::string what;  // a sentence
  Effect effect = Effect::unknown;
};
std::string_view to_string(Revocation::Effect effect);
// `image_digest`: SHA-256 by Authenticode's rules; empty when not computed.
std::vector<Revocation> find_revocations(const Signer& signer, Bytes image_digest,
                                         const TrustSources& sources, const KernelPolicy& policy);

}  // namespace kdk
