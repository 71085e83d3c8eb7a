#include "loader/signature/trust.h"

#include <fmt/format.h>

#include <algorithm>

namespace kdk {
namespace {

// Where the walk up a signer's chain met an anchor.
struct Meeting {
  const Anchor* anchor = nullptr;
  bool verified = false;  // false: the anchor of that name has another key
};

// As the kernel searches a keyring (pkcs7_trust.c, pkcs7_validate_trust_one): each certificate of the chain
// by its own identifiers, then the last one's issuer, then the signer as the message names it.
Meeting find_anchor(const Signer& signer, const std::vector<Anchor>& anchors) {
  auto verifies = [&](size_t depth, const Certificate& by) {
    return depth == 0 ? signer.verify(by) : signer.chain[depth - 1].signed_by(by.public_key());
  };
  for (size_t depth = 0; depth < signer.chain.size(); ++depth) {
    const Certificate& certificate = signer.chain[depth];
    for (const Anchor& anchor : anchors) {
      if (anchor.certificate.id == certificate.id &&
          anchor.certificate.subject_key_id == certificate.subject_key_id) {
        return {&anchor, verifies(depth, anchor.certificate)};
      }
    }
    if (certificate.self_signed) return {};
  }
  for (const Anchor& anchor : anchors) {
    const Certificate& by = anchor.certificate;
    if (!signer.chain.empty()) {
      const Certificate& last = signer.chain.back();
      bool named = (!last.authority_id.empty() && last.authority_id == by.id) ||
                   (!last.authority_key_id.empty() && last.authority_key_id == by.subject_key_id);
      if (named) return {&anchor, verifies(signer.chain.size(), by)};
    }
    bool direct =
        !signer.named_id.empty() && (by.id == signer.named_id || by.subject_key_id == signer.named_id);
    if (direct) return {&anchor, verifies(0, by)};
  }
  return {};
}

const std::string& key_name(const Certificate& certificate) {
  return certificate.subject_key_id.empty() ? certificate.serial : certificate.subject_key_id;
}

// The identifiers under which the kernel's list could show a key that vouches for this signer.
std::vector<std::string> names_of(const Signer& signer) {
  std::vector<std::string> names;
  for (const Certificate& certificate : signer.chain) names.push_back(key_name(certificate));
  if (!signer.chain.empty() && !signer.chain.back().self_signed &&
      !signer.chain.back().authority_key_id.empty()) {
    names.push_back(signer.chain.back().authority_key_id);
  }
  if (signer.chain.empty())
    names.push_back(signer.named_serial.empty() ? signer.named_id : signer.named_serial);
  return names;
}

std::vector<std::string_view> keyrings_for(KeyUse use) {
  // Without CONFIG_INTEGRITY_TRUSTED_KEYRING it is "_ima" (security/integrity/digsig.c).
  if (use == KeyUse::ima) return {".ima", "_ima", ".platform"};
  return {".builtin_trusted_keys", ".secondary_trusted_keys", ".machine", ".platform"};
}

// Judges by the kernel's own list, which is complete. `matches` selects keys by their identifier; `verified`:
// a key that is known here, and among those, made the signature.
template <typename Matches>
Trust judge_by_list(const KernelKeys& kernel, KeyUse use, Matches&& matches, bool verified) {
  const KernelKey* elsewhere = nullptr;
  for (const KernelKey& key : kernel.keys) {
    if (!matches(key)) continue;
    elsewhere = &key;
    for (std::string_view keyring : keyrings_for(use)) {
      if (std::find(key.keyrings.begin(), key.keyrings.end(), keyring) == key.keyrings.end()) continue;
      return {Trust::State::trusted, fmt::format("/proc/keys ({})", keyring),
              fmt::format("the kernel has the key of \"{}\" in {}", key.subject, keyring),
              keyring == ".platform"};
    }
  }
  if (elsewhere == nullptr) {
    return {Trust::State::untrusted, "/proc/keys",
            fmt::format("none of the kernel's {} keys vouches for it{}", kernel.keys.size(),
                        verified ? "; the certificate that does is not among them" : "")};
  }
  if (kernel.keyrings_known) {
    return {Trust::State::untrusted, "/proc/keys",
            fmt::format("the kernel has the key of \"{}\", but not in a keyring that counts here",
                        elsewhere->subject)};
  }
  if (verified) {
    return {
        Trust::State::trusted, "/proc/keys",
        fmt::format("the kernel has the key of \"{}\", whose certificate verifies it", elsewhere->subject)};
  }
  return {
      Trust::State::unknown, "/proc/keys",
      fmt::format("the kernel has the key of \"{}\"; in which keyring is not recorded", elsewhere->subject)};
}

void add_list(TrustSources& sources, const SysRoot& root, std::string_view name, std::string_view guid,
              bool forbids) {
  std::vector<EfiSignature> entries;
  try {
    // Shim leaves large lists in a table that the kernel shows as files
    // (drivers/firmware/efi/mokvar-table.c).
    std::string table = fmt::format("/sys/firmware/efi/mok-variables/{}", name);
    std::optional<EfiVariable> variable;
    if (root.exists(table)) {
      parse_signature_lists(read_file(root.path(table), 16 << 20), entries);
    } else if ((variable = read_efi_variable(root, name, guid))) {
      parse_signature_lists(variable->value, entries);
    }
  } catch (const Error& e) {
    sources.problems.push_back(fmt::format("{}: {}", name, e.message()));
  }
  for (EfiSignature& entry : entries) {
    if (forbids) {
      sources.forbidden.push_back({std::move(entry), std::string(name)});
    } else if (entry.type == EfiSignature::Type::x509) {
      std::optional<Certificate> certificate = parse_certificate(entry.data);
      if (certificate) sources.anchors.push_back({*certificate, std::string(name), false});
      if (certificate) sources.keys.push_back({public_key_of(*certificate), std::string(name)});
      if (!certificate) sources.problems.push_back(fmt::format("{}: an entry is no certificate", name));
    }
  }
}

}  // namespace

std::string_view to_string(Trust::State state) {
  switch (state) {
    case Trust::State::trusted:
      return "trusted";
    case Trust::State::untrusted:
      return "untrusted";
    case Trust::State::unknown:
      break;
  }
  return "unknown";
}

std::string_view to_string(Revocation::Effect effect) {
  switch (effect) {
    case Revocation::Effect::refused:
      return "refused";
    case Revocation::Effect::firmware_only:
      return "firmware_only";
    case Revocation::Effect::unknown:
      break;
  }
  return "unknown";
}

void add_given_keys(TrustSources& sources, const std::string& name, const GivenKeys& given) {
  for (const Certificate& certificate : given.certificates)
    sources.anchors.push_back({certificate, name, true});
  for (const PublicKey& key : given.keys) sources.keys.push_back({key, name});
}

TrustSources read_trust_sources(const SysRoot& root, const KernelPolicy& policy) {
  TrustSources sources;
  sources.kernel = read_kernel_keys(root);
  if (!sources.kernel.problem.empty()) sources.problems.push_back(sources.kernel.problem);
  if (policy.config.enabled("CONFIG_LOAD_UEFI_KEYS") == false)
    return sources;  // then the variables mean nothing to the kernel
  if (!root.exists("/sys/firmware/efi/efivars/MokIgnoreDB-605dab50-e046-4300-abb6-3dd810dd8b23")) {
    if (policy.config.enabled("CONFIG_INTEGRITY_PLATFORM_KEYRING") != false)
      add_list(sources, root, "db", efi_database_guid, false);
  }
  add_list(sources, root, "dbx", efi_database_guid, true);
  if (policy.secure_boot == false)
    return sources;  // load_uefi_certs: shim's lists count under Secure Boot only
  add_list(sources, root, "MokListXRT", shim_lock_guid, true);
  add_list(sources, root, "MokListRT", shim_lock_guid, false);
  return sources;
}

Trust judge_trust(const Signer& signer, const TrustSources& sources, KeyUse use) {
  Meeting meeting = find_anchor(signer, sources.anchors);
  if (meeting.anchor != nullptr && !meeting.verified) {
    return {Trust::State::untrusted, meeting.anchor->source,
            fmt::format("it names the key of \"{}\", which did not make the signature",
                        meeting.anchor->certificate.subject)};
  }
  if (sources.kernel.complete) {
    std::vector<std::string> names = names_of(signer);
    if (meeting.anchor != nullptr) names.push_back(key_name(meeting.anchor->certificate));
    auto matches = [&](const KernelKey& key) {
      return std::find(names.begin(), names.end(), key.id) != names.end();
    };
    Trust trust = judge_by_list(sources.kernel, use, matches, meeting.anchor != nullptr);
    if (trust.state == Trust::State::trusted && signer.chain.empty() && meeting.anchor == nullptr) {
      trust.state = Trust::State::unknown;
      trust.detail += ", but its signature cannot be verified without the certificate";
    }
    return trust;
  }
  if (meeting.anchor != nullptr) {
    return {Trust::State::trusted, meeting.anchor->source,
            fmt::format("\"{}\" vouches for it{}", meeting.anchor->certificate.subject,
                        meeting.anchor->given ? ", if the kernel has that key" : "")};
  }
  return {Trust::State::unknown, "",
          "the kernel's own keys cannot be seen, and no certificate that is known vouches for it"};
}

Trust judge_ima_trust(const std::string& key_id, const GivenKey* verified_by, const TrustSources& sources) {
  if (sources.kernel.complete) {
    auto matches = [&](const KernelKey& key) { return key.id.ends_with(key_id); };
    return judge_by_list(sources.kernel, KeyUse::ima, matches, verified_by != nullptr);
  }
  if (verified_by != nullptr) {
    return {Trust::State::trusted, verified_by->source,
            "its key made the signature, if the kernel has it in .ima or .platform",
            verified_by->source == "db"};
  }
  return {Trust::State::unknown, "",
          "the kernel's own keys cannot be seen, and no given key made the signature"};
}

std::vector<Revocation> find_revocations(const Signer& signer, Bytes image_digest,
                                         const TrustSources& sources, const KernelPolicy& policy) {
  using Effect = Revocation::Effect;
  std::vector<Revocation> found;
  for (const Certificate& certificate : signer.chain) {
    std::vector<uint8_t> own = certificate.signed_part_digest();
    std::string description = "tbs:";
    for (uint8_t byte : own) description += fmt::format("{:02x}", byte);
    if (!own.empty() && std::find(sources.kernel.blacklisted.begin(), sources.kernel.blacklisted.end(),
                                  description) != sources.kernel.blacklisted.end()) {
      found.push_back({"/proc/keys (.blacklist)", fmt::format("the certificate \"{}\"", certificate.subject),
                       Effect::refused});
    }
    for (const KernelKey& key : sources.kernel.keys) {
      bool listed = std::find(key.keyrings.begin(), key.keyrings.end(), ".blacklist") != key.keyrings.end();
      if (!listed || key.id != key_name(certificate)) continue;
      found.push_back(
          {"/proc/keys (.blacklist)", fmt::format("the key of \"{}\"", key.subject), Effect::refused});
    }
  }
  // Certificates in dbx become a keyring of their own: CONFIG_SYSTEM_REVOCATION_LIST (certs/blacklist.c).
  std::optional<bool> certificates_count = policy.config.enabled("CONFIG_SYSTEM_REVOCATION_LIST");
  for (const ForbiddenEntry& entry : sources.forbidden) {
    const std::vector<uint8_t>& data = entry.signature.data;
    if (entry.signature.type == EfiSignature::Type::x509) {
      std::optional<Certificate> certificate = parse_certificate(data);
      if (!certificate) continue;
      std::vector<Anchor> one = {{*certificate, entry.source, false}};
      if (!find_anchor(signer, one).verified) continue;
      Effect effect = !certificates_count   ? Effect::unknown
                      : *certificates_count ? Effect::refused
                                            : Effect::firmware_only;
      found.push_back({entry.source, fmt::format("the certificate \"{}\"", certificate->subject), effect});
    } else if (entry.signature.type == EfiSignature::Type::x509_sha256 && data.size() >= 32) {
      for (const Certificate& certificate : signer.chain) {
        std::vector<uint8_t> hash = certificate.signed_part_digest(true);
        if (!std::equal(hash.begin(), hash.end(), data.begin())) continue;
        // Linux takes the whole entry for the hash, the time of revocation behind it included, so that
        // entries as the specification has them (48 bytes) match nothing (keyring_handler.c,
        // uefi_blacklist_x509_tbs).
        Effect effect = data.size() == 32 ? Effect::refused : Effect::unknown;
        if (sources.kernel.complete)
          effect = Effect::firmware_only;  // were it known to the kernel, it was found above
        found.push_back(
            {entry.source, fmt::format("the certificate \"{}\", by hash", certificate.subject), effect});
      }
    } else if (entry.signature.type == EfiSignature::Type::sha256 && !image_digest.empty() &&
               std::equal(image_digest.begin(), image_digest.end(), data.begin(), data.end())) {
      // Nothing on the kernel's way to kexec looks at hashes of PE images.
      found.push_back({entry.source, "this very image, by its digest", Effect::firmware_only});
    }
  }
  return found;
}

}  // namespace kdk
