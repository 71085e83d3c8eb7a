// ImageCheck as text for people and as JSON (schemas/image-check.schema.json).
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "core/base/log.h"
#include "loader/signature/check_image.h"

namespace kdk {
namespace {

using Json = nlohmann::ordered_json;

std::string clean(std::string_view text) {
  return escape_untrusted(text);
}
Json text_or_null(std::string_view text) {
  return text.empty() ? Json(nullptr) : Json(clean(text));
}
Json flag_or_null(std::optional<bool> flag) {
  return flag ? Json(*flag) : Json(nullptr);
}
Json texts(const std::vector<std::string>& list) {
  Json out = Json::array();
  for (const std::string& text : list) out.push_back(clean(text));
  return out;
}
std::string_view yes_no(std::optional<bool> flag) {
  return !flag ? "unknown" : *flag ? "yes" : "no";
}

Json signer_json(const SignerReport& signer) {
  return {{"subject", text_or_null(signer.subject)},
          {"issuer", text_or_null(signer.issuer)},
          {"serial", text_or_null(signer.serial)},
          {"key_id", text_or_null(signer.key_id)},
          {"key_algorithm", text_or_null(signer.key)},
          {"digest_algorithm", text_or_null(signer.digest)},
          {"not_before", text_or_null(signer.not_before)},
          {"not_after", text_or_null(signer.not_after)},
          {"signed_at", text_or_null(signer.signed_at)},
          {"problem", text_or_null(signer.problem)},
          {"trust",
           {{"state", to_string(signer.trust.state)},
            {"by", text_or_null(signer.trust.by)},
            {"detail", clean(signer.trust.detail)}}}};
}

Json signature_json(const SignatureReport& signature) {
  Json signers = Json::array();
  for (const SignerReport& signer : signature.signers) signers.push_back(signer_json(signer));
  Json revocations = Json::array();
  for (const Revocation& one : signature.revocations) {
    revocations.push_back(
        {{"source", one.source}, {"what", clean(one.what)}, {"effect", to_string(one.effect)}});
  }
  return {{"kind", signature.kind},
          {"layer", signature.layer},
          {"decides", signature.decides},
          {"state", to_string(signature.state)},
          {"problem", text_or_null(signature.problem)},
          {"errno", text_or_null(signature.error)},
          {"digest_algorithm", text_or_null(signature.digest_algorithm)},
          {"digest", text_or_null(signature.digest)},
          {"signed_digest", text_or_null(signature.signed_digest)},
          {"signers", signers},
          {"revocations", revocations}};
}

Json forecast_json(const SyscallForecast& forecast) {
  return {{"verdict", to_string(forecast.verdict)},
          {"errno", text_or_null(forecast.error)},
          {"reasons", texts(forecast.reasons)}};
}

Json kernel_json(const KernelPolicy& policy) {
  Json options = Json::object();
  for (std::string_view option :
       {"CONFIG_KEXEC", "CONFIG_KEXEC_FILE", "CONFIG_KEXEC_SIG", "CONFIG_KEXEC_SIG_FORCE",
        "CONFIG_KEXEC_BZIMAGE_VERIFY_SIG", "CONFIG_KEXEC_IMAGE_VERIFY_SIG", "CONFIG_IMA_APPRAISE",
        "CONFIG_IMA_ARCH_POLICY"}) {
    options[std::string(option)] = flag_or_null(policy.config.enabled(option));
  }
  Json rules = Json::array();
  for (const ImaRule& rule : policy.ima.rules) rules.push_back(clean(rule.text));
  return {{"release", text_or_null(policy.release)},
          {"config_source", text_or_null(policy.config.source())},
          {"options", options},
          {"lockdown", policy.lockdown ? Json(clean(*policy.lockdown)) : Json(nullptr)},
          {"secure_boot", flag_or_null(policy.secure_boot)},
          {"enforces_signatures", flag_or_null(policy.enforces_signatures())},
          {"ima",
           {{"appraises", flag_or_null(policy.ima.appraises)},
            {"rules", rules},
            {"source", text_or_null(policy.ima.source)},
            {"complete", policy.ima.complete}}}};
}

void add_signature(std::string& out, const ImageCheck& check, const SignatureReport& signature) {
  std::string where = check.layers.size() > 1 && signature.kind != "ima"
                          ? fmt::format(" of the {}", check.layers[signature.layer].format)
                          : "";
  out += fmt::format("\nsignature {}{}: {}{}\n", signature.kind, where, to_string(signature.state),
                     signature.problem.empty() ? "" : ", " + clean(signature.problem));
  if (signature.kind == "authenticode" && !signature.decides)
    out += "  note      the kernel does not look at this one\n";
  if (!signature.digest.empty()) {
    out += fmt::format("  digest    {} {}\n", clean(signature.digest_algorithm), signature.digest);
  }
  if (!signature.signed_digest.empty() && signature.signed_digest != signature.digest) {
    out += fmt::format("  signed    {} {}\n", clean(signature.digest_algorithm), signature.signed_digest);
  }
  auto line = [&](std::string_view name, const std::string& text) {
    if (!text.empty()) out += fmt::format("  {:<9} {}\n", name, clean(text));
  };
  for (const SignerReport& signer : signature.signers) {
    line("signer", signer.subject);
    line("issuer", signer.issuer);
    line("serial", signer.serial);
    line("key id", signer.key_id);
    line("key", signer.key.empty() ? "" : fmt::format("{}, digest {}", signer.key, signer.digest));
    if (!signer.not_before.empty()) line("validity", signer.not_before + " to " + signer.not_after);
    line("signed at", signer.signed_at);
    line("trust", fmt::format("{}: {}", to_string(signer.trust.state), signer.trust.detail));
  }
  for (const Revocation& one : signature.revocations) {
    line("revoked",
         fmt::format("{} lists {}{}", one.source, one.what,
                     one.effect == Revocation::Effect::firmware_only ? " (kexec does not ask)" : ""));
  }
}

void add_kernel(std::string& out, const ImageCheck& check) {
  const KernelPolicy& policy = check.policy;
  out += fmt::format("\nkernel    {}\n", policy.release.empty() ? "unknown release" : clean(policy.release));
  out += fmt::format("  lockdown {}, Secure Boot {} ({}), enforces signatures: {}\n",
                     policy.lockdown ? clean(*policy.lockdown) : "unknown",
                     !policy.secure_boot   ? "unknown"
                     : *policy.secure_boot ? "on"
                                           : "off",
                     clean(policy.secure_boot_reason), yes_no(policy.enforces_signatures()));
  out += fmt::format(
      "  KEXEC {}, KEXEC_FILE {}, KEXEC_SIG {}, KEXEC_SIG_FORCE {}, IMA appraisal {} (from {})\n",
      yes_no(policy.config.enabled("CONFIG_KEXEC")), yes_no(policy.config.enabled("CONFIG_KEXEC_FILE")),
      yes_no(policy.config.enabled("CONFIG_KEXEC_SIG")),
      yes_no(policy.config.enabled("CONFIG_KEXEC_SIG_FORCE")), yes_no(policy.ima.appraises),
      policy.config.source().empty() ? "no configuration found" : clean(policy.config.source()));
  for (const ImaRule& rule : policy.ima.rules) out += fmt::format("  IMA rule: {}\n", clean(rule.text));
  for (const std::string& problem : check.problems) out += fmt::format("  not known: {}\n", clean(problem));
}

void add_syscall(std::string& out, const SyscallForecast& forecast) {
  out += fmt::format("  {:<15} {}{}\n", forecast.syscall, to_string(forecast.verdict),
                     forecast.error.empty() ? "" : " with " + forecast.error);
  for (const std::string& reason : forecast.reasons) out += fmt::format("    {}\n", clean(reason));
}

}  // namespace

std::string image_check_to_text(const ImageCheck& check) {
  std::string out = fmt::format("image     {} (sha256 {})\n", clean(check.path), check.sha256);
  for (const LayerReport& layer : check.layers) {
    out += fmt::format("  {}{}, {} bytes{}\n", clean(layer.format), layer.big_endian ? " (big-endian)" : "",
                       layer.size, layer.pe_problem.empty() ? "" : ": " + clean(layer.pe_problem));
  }
  if (!check.layers_problem.empty()) out += fmt::format("  not unpacked: {}\n", clean(check.layers_problem));
  out += fmt::format("  security.ima: {}\n", clean(check.ima_attribute));
  if (check.signatures.empty()) out += "\nno signature\n";
  for (const SignatureReport& signature : check.signatures) add_signature(out, check, signature);
  add_kernel(out, check);
  const Forecast& forecast = check.forecast;
  out += fmt::format("\nverdict   {}{}\n", to_string(forecast.verdict),
                     forecast.syscall.empty() ? "" : fmt::format(" by {}", forecast.syscall));
  add_syscall(out, forecast.file_load);
  add_syscall(out, forecast.load);
  if (!forecast.next_step.empty()) out += fmt::format("next step {}\n", forecast.next_step);
  return out;
}

std::string image_check_to_json(const ImageCheck& check) {
  Json json;
  json["schema"] = {{"id", "kdumpkit/image-check"}, {"version", "1.0.0"}};
  json["tool"] = {{"name", "kdump-load"}, {"version", KDK_VERSION}};
  json["verdict"] = to_string(check.forecast.verdict);
  json["syscall"] = text_or_null(check.forecast.syscall);
  json["next_step"] = text_or_null(check.forecast.next_step);
  json["forecast"] = {{"kexec_file_load", forecast_json(check.forecast.file_load)},
                      {"kexec_load", forecast_json(check.forecast.load)}};
  Json layers = Json::array();
  for (const LayerReport& layer : check.layers) {
    layers.push_back({{"format", clean(layer.format)},
                      {"size_bytes", layer.size},
                      {"big_endian", layer.big_endian},
                      {"pe_sha256", text_or_null(layer.image_digest)},
                      {"problem", text_or_null(layer.pe_problem)}});
  }
  json["image"] = {{"path", clean(check.path)},
                   {"sha256", check.sha256},
                   {"layers", layers},
                   {"problem", text_or_null(check.layers_problem)},
                   {"security_ima", clean(check.ima_attribute)}};
  json["signatures"] = Json::array();
  for (const SignatureReport& signature : check.signatures)
    json["signatures"].push_back(signature_json(signature));
  json["kernel"] = kernel_json(check.policy);
  json["problems"] = texts(check.problems);
  return json.dump(2);
}

}  // namespace kdk
