#include "loader/signature/forecast.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/base/error.h"
#include "loader/image/bzimage.h"
#include "loader/machine/parse.h"
#include "loader/signature/image_kind.h"

namespace kdk {
namespace {

using State = CheckOutcome::State;

const std::string sign_step =
    "sign the image (sbsign --key KEY --cert CERT IMAGE) with a key the kernel has: /proc/keys, mokutil "
    "--list-enrolled";
const std::string config_step =
    "put the kernel's configuration in /boot/config-RELEASE, or read it there as root";
const std::string other_kernel_step = "boot a kernel that is built with it";

// Collects what is in the way. The first refusal decides; an unknown only counts when nothing refuses.
class Decision {
 public:
  explicit Decision(std::string_view syscall) { out_.syscall = syscall; }

  void note(std::string reason) { out_.reasons.push_back(std::move(reason)); }
  void refuse(std::string error, std::string reason, std::string next_step) {
    if (out_.verdict == Verdict::refused) return;
    out_.verdict = Verdict::refused;
    out_.error = std::move(error);
    out_.next_step = std::move(next_step);
    note(std::move(reason));
  }
  void doubt(std::string reason, std::string next_step) {
    if (out_.verdict == Verdict::refused) return;
    if (out_.verdict == Verdict::accepted) out_.next_step = std::move(next_step);
    out_.verdict = Verdict::unknown;
    note(std::move(reason));
  }
  // Refuses or lets pass, by an option of the kernel; doubts while its configuration is not known.
  void require(std::optional<bool> option, const std::string& error, const std::string& without,
               const std::string& next_step) {
    if (option == false) refuse(error, without, next_step);
    if (!option) doubt("not known: whether " + without, config_step);
  }
  bool refused() const { return out_.verdict == Verdict::refused; }
  SyscallForecast take() { return std::move(out_); }

 private:
  SyscallForecast out_;
};

// Does a rule of IMA apply to this file? nullopt: a condition that cannot be judged here.
std::optional<bool> applies(const ImaRule& rule, const ImageFacts& image) {
  bool doubt = false;
  for (std::string_view condition : rule.conditions) {
    std::string_view value = condition;
    std::string_view name = next_token(value, '=');
    if (name == "uid" || name == "euid") {  // of whoever loads: root
      if (parse_number(value, 10) != 0) return false;
    } else if (name == "fowner" && image.owner) {
      if (parse_number(value, 10) != *image.owner) return false;
    } else if (name == "fsmagic" && image.file_system) {
      if (parse_number(value, 16) != *image.file_system) return false;
    } else if (name == "mask") {
      if (value != "MAY_READ" && value != "^MAY_READ") return false;
    } else {
      doubt = true;
    }
  }
  if (doubt) return std::nullopt;
  return true;
}

// ima_appraise.c, ima_appraise_measurement. The appended signature counts without security.ima, with a digest
// there (of the newer kind; the older one is not told apart here), or with a signature by a key that the
// kernel lacks.
CheckOutcome appraise(const ImaRule& rule, const ImageFacts& image) {
  if (rule.needs_verity)
    return {State::unknown, "", "the rule wants an fs-verity signature, which is not judged here"};
  const CheckOutcome nothing;
  const CheckOutcome& signature = image.packed ? nothing : image.ima_signature;
  const CheckOutcome& digest = image.packed ? nothing : image.ima_digest;
  bool lacks_key = signature.state == State::bad && signature.error == "ENOKEY";
  bool try_appended = rule.allows_appended && image.appended.state != State::absent;
  if (try_appended && (signature.state == State::absent || lacks_key)) return image.appended;
  if (signature.state == State::good && signature.by_platform_key && rule.for_all) {
    return {State::bad, "EACCES", signature.reason + ", which counts for rules about kexec only"};
  }
  if (signature.state != State::absent) return signature;
  if (image.packed)
    return {State::bad, "EACCES", "the kernel gets an unpacked copy, which has no security.ima"};
  if (rule.needs_signature) return {State::bad, "EACCES", "the file has no security.ima signature"};
  if (digest.state != State::absent) return digest;
  return {State::bad, "EACCES", "the file has no security.ima"};
}

// What IMA's first rule that applies says. Rules whose conditions cannot be judged leave a doubt only when
// the image would fail them.
void check_ima(const ImageFacts& image, const KernelPolicy& policy, Decision& decision) {
  const ImaState& ima = policy.ima;
  if (ima.appraises == false) return;
  for (const ImaRule& rule : ima.rules) {
    std::optional<bool> applied = applies(rule, image);
    if (applied == false) continue;
    if (!rule.appraise) {
      if (applied) return;
      continue;
    }
    CheckOutcome outcome = appraise(rule, image);
    std::string reason = fmt::format("IMA rule \"{}\": {}", rule.text, outcome.reason);
    if (outcome.state == State::good) {
      if (applied) decision.note(reason);
      if (applied) return;
      continue;
    }
    std::string step =
        "sign the file for IMA: evmctl ima_sign --key KEY IMAGE, its certificate in the .ima keyring";
    if (outcome.state == State::bad && applied && ima.appraises)
      return decision.refuse("EACCES", reason, step);
    decision.doubt(reason, step);
    if (applied) return;
  }
  if (!ima.complete) {
    decision.doubt(fmt::format("IMA's rules are not known: only those from {}", ima.source),
                   "mount securityfs, and build the kernel with CONFIG_IMA_READ_POLICY to be sure");
  }
}

// Will IMA vouch for the image in place of its PE signature (ima_policy.c, ima_appraise_signature)? nullopt:
// its rules are not known.
std::optional<bool> ima_guarantees(const KernelPolicy& policy) {
  std::optional<bool> possible = policy.config.enabled("CONFIG_INTEGRITY_TRUSTED_KEYRING");
  if (possible == false || policy.ima.appraises == false) return false;
  if (!possible || !policy.ima.appraises || !policy.ima.complete) return std::nullopt;
  for (const ImaRule& rule : policy.ima.rules) {
    if (rule.appraise) return rule.needs_signature;  // the first decides, whatever its conditions
  }
  return false;
}

// errno of an image that no loader takes: each architecture's probe has its own
// (arch/arm64/kernel/kexec_image.c, arch/x86/kernel/kexec-bzimage64.c).
std::string probe_error(const KernelPolicy& policy) {
  return policy.config.enabled("CONFIG_ARM64") == true ? "EINVAL" : "ENOEXEC";
}

void check_architecture(const ImageFacts& image, const KernelPolicy& policy, Decision& decision) {
  if (image.kernel == nullptr) {
    return decision.doubt("the kernel inside the file could not be unpacked here",
                          "unpack it and check what comes out");
  }
  const ImageKind* kind = find_image_kind(image.kernel->format);
  if (kind == nullptr) {
    return decision.refuse(probe_error(policy),
                           fmt::format("kexec_file_load takes no {}", image.kernel->name()),
                           "use the boot image: /boot/vmlinuz-RELEASE");
  }
  decision.require(policy.config.enabled(kind->architecture), probe_error(policy),
                   fmt::format("the kernel is not built for {} ({})", kind->name, kind->architecture),
                   "use a kernel image of this machine's architecture");
}

// arch/x86/kernel/kexec-bzimage64.c, bzImage64_probe: asked before any signature. Whether the CPU's 5-level page
// tables are in its way is a matter of the load plan, which reads it from the running kernel.
void check_entry(const ImageFacts& image, Decision& decision) {
  if (image.kernel == nullptr || image.kernel->format != ImageFormat::bzimage) return;
  const std::string step = "use a 64-bit kernel that may lie above 4 GiB (CONFIG_RELOCATABLE)";
  try {
    BzImage header = parse_bzimage(image.kernel->bytes);
    if (!header.entry_64bit) {
      decision.refuse("ENOEXEC", "it has no 64-bit entry point (xloadflags)", step);
    } else if (!header.above_4g) {
      decision.refuse("ENOEXEC", "it cannot be loaded above 4 GiB (xloadflags)", step);
    }
  } catch (const Error& e) {
    decision.doubt("its boot header: " + e.message(), "get the file again");
  }
}

// arch/arm64/kernel/kexec_image.c, image_load: asked last. Linux hides this property of the CPU from
// programs.
void check_byte_order(const ImageFacts& image, const KernelPolicy& policy, Decision& decision) {
  if (image.kernel == nullptr || !image.kernel->big_endian) return;
  if (policy.config.enabled("CONFIG_CPU_BIG_ENDIAN") == true) return;
  decision.doubt("a big-endian Image: the kernel takes it only on CPUs that can run both byte orders",
                 "use a little-endian kernel");
}

void check_pe(const ImageFacts& image, const KernelPolicy& policy, Decision& decision) {
  const ImageKind* kind = image.kernel == nullptr ? nullptr : find_image_kind(image.kernel->format);
  if (kind == nullptr || decision.refused()) return;
  std::optional<bool> verifies = policy.config.enabled("CONFIG_KEXEC_SIG");
  if (verifies == false)
    return decision.note("the kernel is built without CONFIG_KEXEC_SIG: no signature is looked at");
  std::string_view option = kind->verify_option;
  CheckOutcome pe = image.pe;
  if (verifies && policy.config.enabled(option) == false) {
    pe = {State::bad, "EKEYREJECTED",
          fmt::format("the kernel cannot verify this kind of image ({})", option)};
  }
  if (pe.state == State::good) {
    decision.note(pe.reason);
    if (!verifies) decision.doubt("whether the kernel verifies signatures is not known", config_step);
    return;
  }
  std::optional<bool> enforced = policy.enforces_signatures();
  bool hopeless = pe.state == State::bad;
  if (enforced == true) {
    std::string why = fmt::format("{}; this kernel enforces signatures", pe.reason);
    if (hopeless) return decision.refuse(pe.error, why, sign_step);
    return decision.doubt(why, "name the signer's certificate with --cert, or run as root");
  }
  std::optional<bool> guaranteed = ima_guarantees(policy);
  if (policy.locked() && guaranteed != true) {
    std::string why = fmt::format("{}; kernel lockdown is \"{}\"", pe.reason, *policy.lockdown);
    // Without CONFIG_KEXEC_SIG kexec_file_load does not ask about lockdown.
    if (!verifies) return decision.doubt(why + "; whether it verifies signatures is not known", config_step);
    if (!guaranteed) {
      return decision.doubt(why + "; whether IMA stands in for it is not known",
                            "build the kernel with CONFIG_IMA_READ_POLICY to be sure");
    }
    if (hopeless) return decision.refuse("EPERM", why, sign_step);
    return decision.doubt(why, "name the signer's certificate with --cert, or run as root");
  }
  if (!enforced) {
    decision.doubt(fmt::format("{}; whether the kernel enforces signatures is not known", pe.reason),
                   config_step);
  } else if (policy.locked()) {
    decision.note(fmt::format("{}; under lockdown IMA stands in for it", pe.reason));
  } else if (!policy.lockdown) {
    decision.doubt(fmt::format("{}; the state of kernel lockdown is not known", pe.reason),
                   "mount securityfs");
  } else {
    // Since Linux "kexec: do not verify the signature without the lockdown or mandatory signature".
    decision.note(fmt::format("{}; the kernel does not enforce signatures", pe.reason));
  }
}

SyscallForecast forecast_file_load(const ImageFacts& image, const KernelPolicy& policy) {
  Decision decision("kexec_file_load");
  if (policy.load_disabled)
    decision.refuse("EPERM", "kernel.kexec_load_disabled is set", "reboot: it cannot be unset");
  decision.require(policy.config.enabled("CONFIG_KEXEC_FILE"), "ENOSYS",
                   "the kernel is built without CONFIG_KEXEC_FILE", other_kernel_step);
  check_ima(image, policy, decision);  // when the file is read
  check_architecture(image, policy, decision);
  check_entry(image, decision);
  check_pe(image, policy, decision);
  check_byte_order(image, policy, decision);
  return decision.take();
}

SyscallForecast forecast_load(const ImageFacts& image, const KernelPolicy& policy) {
  Decision decision("kexec_load");
  if (policy.load_disabled)
    decision.refuse("EPERM", "kernel.kexec_load_disabled is set", "reboot: it cannot be unset");
  decision.require(policy.config.enabled("CONFIG_KEXEC"), "ENOSYS",
                   "the kernel is built without CONFIG_KEXEC", other_kernel_step);
  check_architecture(image, policy, decision);
  check_byte_order(image, policy, decision);
  // What helps is kexec_file_load with a signed image, where the kernel has that call.
  const std::string step =
      policy.config.enabled("CONFIG_KEXEC_FILE") == false
          ? "turn Secure Boot (or lockdown=) off, or boot a kernel with CONFIG_KEXEC_FILE"
          : sign_step;
  // ima_main.c, ima_load_data: without a descriptor there is nothing to appraise.
  bool rule = std::any_of(policy.ima.rules.begin(), policy.ima.rules.end(),
                          [](const ImaRule& r) { return r.appraise && !r.for_all; });
  if (policy.config.enabled("CONFIG_IMA") == true && policy.config.enabled("CONFIG_KEXEC_SIG") == true &&
      policy.secure_boot == true) {
    decision.refuse("EACCES", "under Secure Boot IMA allows kexec_file_load only", step);
  } else if (policy.ima.appraises == true && rule) {
    decision.refuse("EACCES", "IMA appraises kernel images, and kexec_load has no file to appraise", step);
  }
  if (policy.locked()) {
    decision.refuse("EPERM", fmt::format("kernel lockdown is \"{}\"", *policy.lockdown), step);
  } else if (!policy.lockdown) {
    decision.doubt("the state of kernel lockdown is not known", "mount securityfs");
  }
  if (policy.config.enabled("CONFIG_IMA") != false && policy.config.enabled("CONFIG_KEXEC_SIG") != false &&
      !policy.secure_boot) {
    decision.doubt(fmt::format("the state of Secure Boot is not known ({})", policy.secure_boot_reason),
                   "mount efivarfs");
  }
  SyscallForecast out = decision.take();
  if (out.verdict == Verdict::accepted) out.reasons.emplace_back("kexec_load looks at no signature");
  return out;
}

}  // namespace

std::string_view to_string(Verdict verdict) {
  switch (verdict) {
    case Verdict::accepted:
      return "accepted";
    case Verdict::refused:
      return "refused";
    case Verdict::unknown:
      break;
  }
  return "unknown";
}

Forecast make_forecast(const ImageFacts& image, const KernelPolicy& policy) {
  Forecast out;
  out.file_load = forecast_file_load(image, policy);
  out.load = forecast_load(image, policy);
  for (const SyscallForecast* one : {&out.file_load, &out.load}) {
    if (one->verdict != Verdict::accepted) continue;
    out.verdict = Verdict::accepted;
    out.syscall = one->syscall;
    return out;
  }
  bool refused = out.file_load.verdict == Verdict::refused && out.load.verdict == Verdict::refused;
  out.verdict = refused ? Verdict::refused : Verdict::unknown;
  // Without kexec_file_load in the kernel its advice would lead nowhere.
  const SyscallForecast& telling = out.file_load.error == "ENOSYS" ? out.load : out.file_load;
  out.next_step = telling.next_step;
  return out;
}

}  // namespace kdk
