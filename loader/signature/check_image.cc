#include "loader/signature/check_image.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/statfs.h>

#include "loader/signature/appended_signature.h"
#include "loader/signature/crypto.h"
#include "loader/signature/pe_image.h"

namespace kdk {
namespace {

constexpr uint64_t max_kernel_file = uint64_t{1} << 30;
constexpr uint64_t max_certificate_file = 1 << 20;
// verify_pefile.c, pefile_strip_sig_wrapper: lengths of more than two bytes are refused.
constexpr uint64_t max_message = 0xffff + 4;
constexpr uint64_t max_appended = 1 << 20;

using State = SignatureReport::State;

const HashAlgorithm& sha256() {
  return *hash_by_ima_number(4);
}

SignerReport describe(const Signer& signer) {
  SignerReport out;
  out.issuer = signer.named_issuer;
  out.serial = signer.named_serial;
  out.digest = signer.digest;
  out.signed_at = signer.signed_at;
  out.problem = signer.problem;
  if (signer.chain.empty()) return out;
  const Certificate& certificate = signer.chain.front();
  out.subject = certificate.subject;
  out.issuer = certificate.issuer;
  out.serial = certificate.serial;
  out.key_id = certificate.subject_key_id;
  out.key = certificate.key;
  out.not_before = certificate.not_before;
  out.not_after = certificate.not_after;
  return out;
}

void fail(SignatureReport& report, State state, std::string error, std::string problem) {
  if (!report.problem.empty()) return;  // the kernel stops at the first
  report.state = state;
  report.error = std::move(error);
  report.problem = std::move(problem);
}

// A sentence; empty as long as the kernel is not known to lack the hash.
std::string lacking_hash(const std::string& hash, const KernelPolicy& policy) {
  return policy.crypto.has(hash) == false ? fmt::format("this kernel cannot compute {}", hash) : "";
}
// The same for the keys that verify a signature and the certificates above it. (Of two kinds that are known
// here.)
std::string lacking_key_algorithm(const std::vector<Certificate>& chain, const KernelPolicy& policy) {
  for (const Certificate& certificate : chain) {
    if (policy.crypto.has(certificate.key.starts_with("EC ") ? "ecdsa" : "rsa") != false) continue;
    return fmt::format("this kernel cannot verify signatures by {} keys", certificate.key);
  }
  return "";
}

// The order of verify_pkcs7_message_sig: signatures, revocation, trust. Leaves problem empty when all hold.
void judge_signers(const std::vector<Signer>& signers, KeyUse use, const TrustSources& sources,
                   const KernelPolicy& policy, Bytes image_digest, SignatureReport& report) {
  bool any_supported = false;
  std::string unsupported;  // why, of the first signer
  bool refused = false;
  bool verified = false;  // by a certificate in the message or by a key that is known here
  for (const Signer& signer : signers) {
    SignerReport one = describe(signer);
    one.trust = judge_trust(signer, sources, use);
    std::string lacking = lacking_hash(signer.digest, policy);
    std::string lacking_algorithm = lacking_key_algorithm(signer.chain, policy);
    bool supported = !signer.unsupported_crypto && lacking.empty();
    if (supported && !lacking_algorithm.empty()) fail(report, State::invalid, "ENOENT", lacking_algorithm);
    if (supported && !signer.problem.empty()) fail(report, State::invalid, signer.error, signer.problem);
    any_supported = any_supported || supported;
    if (unsupported.empty()) unsupported = lacking.empty() ? signer.problem : lacking;
    verified = verified || !signer.chain.empty() || one.trust.state == Trust::State::trusted;
    for (Revocation& revocation : find_revocations(signer, image_digest, sources, policy)) {
      refused = refused || revocation.effect == Revocation::Effect::refused;
      report.revocations.push_back(std::move(revocation));
    }
    report.signers.push_back(std::move(one));
  }
  if (!any_supported) fail(report, State::invalid, "ENOPKG", unsupported);
  if (refused) fail(report, State::invalid, "EKEYREJECTED", "revoked");
  if (!verified) {
    fail(report, State::unverified, "ENOKEY",
         "the signer's certificate is neither in the message nor known here");
  }
}

SignatureReport check_authenticode(const PeCertificate& entry, const PeImage& pe, Bytes image_digest,
                                   const TrustSources& sources, const KernelPolicy& policy) {
  SignatureReport report;
  report.kind = "authenticode";
  report.state = State::valid;
  if (!entry.problem.empty()) {
    fail(report, State::invalid, "ENOTSUPP", entry.problem);
    return report;
  }
  std::optional<uint64_t> size = der_element_size(entry.content);
  if (!size) {
    fail(report, State::invalid, "ELIBBAD",
         "truncated: the message is longer than its entry in the certificate table");
    return report;
  }
  if (*size > max_message) {
    fail(report, State::invalid, "EMSGSIZE", "longer than the 64 KiB the kernel reads");
    return report;
  }
  try {
    AuthenticodeMessage message = parse_authenticode_message(entry.content.first(*size));
    report.digest_algorithm = message.digest_algorithm;
    report.signed_digest = to_hex(message.digest);
    judge_signers(message.message.signers, KeyUse::image, sources, policy, image_digest, report);
    const HashAlgorithm* hash = hash_by_name(message.digest_algorithm);
    std::string lacking = lacking_hash(message.digest_algorithm, policy);
    // The kernel asks for trust before it gets here. Also overrides doubts about keys: whoever signed, it was
    // another image.
    auto fail_last = [&](std::string error, std::string problem) {
      report.found_last = report.state != State::invalid;
      if (report.found_last) report.problem.clear();
      fail(report, State::invalid, std::move(error), std::move(problem));
    };
    if (hash == nullptr || !hash->for_images || !lacking.empty()) {
      fail_last("ENOPKG", !lacking.empty()
                              ? lacking
                              : fmt::format("the kernel takes no {} digest", message.digest_algorithm));
      return report;
    }
    report.digest = to_hex(digest_of(*hash, pe.digested));
    if (report.digest != report.signed_digest) {
      fail_last("EKEYREJECTED", "the image was changed after it was signed: its digest is another");
    }
  } catch (const Error& e) {
    fail(report, State::invalid, "EBADMSG", e.message());
  }
  return report;
}

// What the kernel's check will find, out of the report about the signature that it looks at.
CheckOutcome outcome_of(const SignatureReport& report, std::string_view what) {
  using Outcome = CheckOutcome::State;
  auto bad = [&](const std::string& error, const std::string& problem) {
    return CheckOutcome{Outcome::bad, error, fmt::format("{}: {}", what, problem)};
  };
  if (report.state == State::invalid && !report.found_last) return bad(report.error, report.problem);
  const Trust* best = nullptr;
  for (const SignerReport& signer : report.signers) {
    if (best == nullptr || signer.trust.state == Trust::State::trusted ||
        (signer.trust.state == Trust::State::unknown && best->state == Trust::State::untrusted)) {
      best = &signer.trust;
    }
  }
  if (report.state == State::invalid) {
    return best->state == Trust::State::untrusted ? bad("ENOKEY", report.problem + "; " + best->detail)
                                                  : bad(report.error, report.problem);
  }
  for (const Revocation& revocation : report.revocations) {
    if (revocation.effect != Revocation::Effect::unknown) continue;
    return {Outcome::unknown, "EKEYREJECTED",
            fmt::format("{}: {} revokes {}, which this kernel may or may not honour", what, revocation.source,
                        revocation.what)};
  }
  if (best->state == Trust::State::untrusted) return bad("ENOKEY", best->detail);
  bool good = best->state == Trust::State::trusted;
  return {good ? Outcome::good : Outcome::unknown, good ? "" : "ENOKEY",
          fmt::format("{}: {}", what, best->detail), good && best->platform_key};
}

// The PE signatures of one layer. `innermost`: the kernel looks at its first one.
void check_layer(const ImageLayer& layer, size_t index, bool innermost, const TrustSources& sources,
                 ImageCheck& check, ImageFacts& facts) {
  using Outcome = CheckOutcome::State;
  LayerReport report{layer.name(), layer.bytes.size(), layer.big_endian, "", ""};
  std::optional<PeImage> pe;
  try {
    pe = parse_pe_image(layer.bytes);
  } catch (const Error& e) {
    report.pe_problem = e.message();
  }
  std::vector<uint8_t> image_digest;
  if (pe) {
    image_digest = digest_of(sha256(), pe->digested);
    report.image_digest = to_hex(image_digest);
    report.pe_problem = pe->table_problem;
    for (const PeCertificate& entry : pe->certificates) {
      check.signatures.push_back(check_authenticode(entry, *pe, image_digest, sources, check.policy));
      check.signatures.back().layer = index;
      // verify_pefile.c reads the first entry of the table and no other.
      bool first = &entry == &pe->certificates.front();
      check.signatures.back().decides = innermost && first;
      CheckOutcome outcome = outcome_of(check.signatures.back(), "its PE signature");
      check.signatures.back().error = outcome.state == Outcome::bad ? outcome.error : "";
      if (innermost && first) facts.pe = std::move(outcome);
    }
  }
  if (innermost && facts.pe.state == Outcome::absent) {
    facts.pe = {Outcome::bad, "ENODATA", "the image has no PE signature"};
    if (!report.pe_problem.empty()) facts.pe = {Outcome::bad, "ELIBBAD", report.pe_problem};
    if (!pe && report.pe_problem.empty()) facts.pe = {Outcome::bad, "ELIBBAD", "the image is no PE file"};
  }
  check.layers.push_back(std::move(report));
}

void check_appended(Bytes image, size_t layer, const TrustSources& sources, ImageCheck& check,
                    ImageFacts& facts) {
  SignatureReport report;
  report.kind = "appended";
  report.layer = layer;
  report.state = State::valid;
  try {
    std::optional<AppendedSignature> found = find_appended_signature(image);
    if (!found) return;
    if (found->message.size() > max_appended) throw Error(Errc::format, "the message is implausibly large");
    SignedMessage message = parse_detached_message(found->message, found->content);
    judge_signers(message.signers, KeyUse::ima, sources, check.policy, {}, report);
  } catch (const Error& e) {
    fail(report, State::invalid, "EBADMSG", e.message());
  }
  facts.appended = outcome_of(report, "its appended signature");
  check.signatures.push_back(std::move(report));
}

CheckOutcome check_ima_signature(const ImaAttribute& attribute, Bytes file, const TrustSources& sources,
                                 const KernelPolicy& policy, SignatureReport& report) {
  const GivenKey* by = nullptr;
  bool named = false;
  for (const GivenKey& candidate : sources.keys) {
    if (candidate.key.key_id != attribute.key_id || candidate.key.handle == nullptr) continue;
    named = true;
    if (by == nullptr && verify_ima_signature(attribute, file, candidate.key)) by = &candidate;
  }
  SignerReport signer;
  signer.key_id = attribute.key_id;
  signer.digest = attribute.algorithm;
  if (by != nullptr) signer.subject = by->key.name;
  if (by != nullptr) signer.key = by->key.key;
  signer.trust = judge_ima_trust(attribute.key_id, by, sources);
  report.state = by != nullptr ? State::valid : named ? State::invalid : State::unverified;
  if (named && by == nullptr) report.problem = "the key it names did not make this signature over this file";
  if (!named) report.problem = "the key it names is not known here";
  if (report.state == State::invalid) report.error = "EACCES";
  report.signers.push_back(signer);
  if (std::string lacking = lacking_hash(attribute.algorithm, policy); !lacking.empty())
    return {CheckOutcome::State::bad, "EACCES", "security.ima: " + lacking};
  if (attribute.kind == ImaAttribute::Kind::verity_signature) {
    return {CheckOutcome::State::unknown, "EACCES",
            "security.ima is an fs-verity signature, which is not judged here"};
  }
  if (attribute.version != 2) {
    return {CheckOutcome::State::unknown, "EACCES",
            fmt::format("security.ima is of version {}: kernels may know version 2 only", attribute.version)};
  }
  if (report.state == State::unverified && signer.trust.state == Trust::State::trusted) {
    return {CheckOutcome::State::unknown, "EACCES",
            "security.ima names a key of the kernel; name its certificate with --cert"};
  }
  return outcome_of(report, "security.ima");
}

void check_ima_attribute(const std::string& path, Bytes file, const TrustSources& sources, ImageCheck& check,
                         ImageFacts& facts) {
  using Outcome = CheckOutcome::State;
  check.ima_attribute = "none";
  try {
    std::optional<std::vector<uint8_t>> value = read_ima_attribute(path);
    if (!value) return;
    ImaAttribute attribute = parse_ima_attribute(*value);
    if (attribute.kind == ImaAttribute::Kind::other) {
      check.ima_attribute = fmt::format("of type {}, not for kernel images", attribute.type);
      facts.ima_digest = {Outcome::bad, "EACCES", "security.ima is of a type that is not for kernel images"};
    } else if (attribute.kind == ImaAttribute::Kind::digest) {
      std::string lacking = lacking_hash(attribute.algorithm, check.policy);
      bool matches = lacking.empty() && ima_digest_matches(attribute, file);
      std::string finding = !lacking.empty() ? lacking : matches ? "matches" : "does not match";
      check.ima_attribute = fmt::format("digest {}: {}", attribute.algorithm, finding);
      facts.ima_digest = {matches ? Outcome::good : Outcome::bad, matches ? "" : "EACCES",
                          fmt::format("the digest in security.ima: {}", finding)};
    } else {
      check.ima_attribute = fmt::format("signature version {}, {}", attribute.version, attribute.algorithm);
      SignatureReport report;
      report.kind = "ima";
      report.digest_algorithm = attribute.algorithm;
      facts.ima_signature = check_ima_signature(attribute, file, sources, check.policy, report);
      check.signatures.push_back(std::move(report));
    }
  } catch (const Error& e) {
    check.ima_attribute = "unreadable: " + e.message();
    facts.ima_signature = {e.code() == Errc::format ? Outcome::bad : Outcome::unknown, "EACCES",
                           "security.ima: " + e.message()};
  }
}

}  // namespace

std::string_view to_string(SignatureReport::State state) {
  switch (state) {
    case State::valid:
      return "valid";
    case State::unverified:
      return "unverified";
    case State::invalid:
      break;
  }
  return "invalid";
}

const bool can_check_images = true;

ImageCheck check_image(const CheckImageOptions& options) {
  ImageCheck check;
  check.path = options.image;
  SysRoot root(options.sysroot);
  check.policy = read_kernel_policy(root);
  TrustSources sources = read_trust_sources(root, check.policy);
  for (const std::string& path : options.certificates) {
    GivenKeys given =
        with_context(path, [&] { return parse_given_keys(read_file(path, max_certificate_file)); });
    add_given_keys(sources, "--cert " + path, given);
  }
  check.problems = check.policy.problems;
  check.problems.insert(check.problems.end(), sources.problems.begin(), sources.problems.end());

  std::vector<uint8_t> file = read_file(options.image, max_kernel_file);
  Bytes whole(file);
  check.sha256 = to_hex(digest_of(sha256(), std::span(&whole, 1)));
  ImageLayers opened = open_image_layers(std::move(file));
  const std::vector<ImageLayer>& layers = opened.layers;
  if (layers.front().format == ImageFormat::unknown)
    throw Error(opened.problem->code(), options.image + ": " + opened.problem->message());
  if (opened.problem) check.layers_problem = opened.problem->message();

  ImageFacts facts;
  facts.packed = layers.size() > 1 || opened.problem.has_value();
  if (!opened.problem) facts.kernel = &layers.back();
  struct stat status {};
  if (::stat(options.image.c_str(), &status) == 0) facts.owner = status.st_uid;
  struct statfs file_system {};
  if (::statfs(options.image.c_str(), &file_system) == 0)
    facts.file_system = static_cast<uint32_t>(file_system.f_type);
  if (facts.packed) facts.owner = unpacked_owner;
  if (facts.packed) facts.file_system = unpacked_file_system;
  for (size_t i = 0; i < layers.size(); ++i) {
    check_layer(layers[i], i, &layers[i] == facts.kernel, sources, check, facts);
  }
  if (facts.kernel != nullptr) check_appended(facts.kernel->bytes, layers.size() - 1, sources, check, facts);
  check_ima_attribute(options.image, layers.front().bytes, sources, check, facts);
  check.forecast = make_forecast(facts, check.policy);
  return check;
}

}  // namespace kdk
