#include "loader/signature/kernel_policy.h"

#include <fmt/format.h>

#include "loader/machine/parse.h"
#include "loader/signature/efi_variables.h"

namespace kdk {
namespace {

constexpr uint64_t max_policy = 1 << 20;
// boot_params.secure_boot (arch/x86/include/uapi/asm/bootparam.h), enum efi_secureboot_mode
// (include/linux/efi.h)
constexpr uint64_t secure_boot_offset = 0x1ec;
constexpr uint8_t secure_boot_disabled = 2, secure_boot_enabled = 3;

// Three values: and, or.
std::optional<bool> both(std::optional<bool> a, std::optional<bool> b) {
  if (a == false || b == false) return false;
  if (!a || !b) return std::nullopt;
  return true;
}
std::optional<bool> either(std::optional<bool> a, std::optional<bool> b) {
  if (a == true || b == true) return true;
  if (!a || !b) return std::nullopt;
  return false;
}

// "none [integrity] confidentiality"
std::optional<std::string> read_lockdown(const SysRoot& root, const KernelConfig& config,
                                         std::vector<std::string>& problems) {
  try {
    if (std::optional<std::string> text = root.read_line("/sys/kernel/security/lockdown")) {
      size_t open = text->find('[');
      size_t close = text->find(']');
      if (open != std::string::npos && close != std::string::npos && open < close) {
        return text->substr(open + 1, close - open - 1);
      }
      problems.emplace_back("/sys/kernel/security/lockdown: no state is marked");
      return std::nullopt;
    }
  } catch (const Error& e) {
    problems.push_back(e.message());
    return std::nullopt;
  }
  if (config.enabled("CONFIG_SECURITY_LOCKDOWN_LSM") == false) return "none";
  problems.emplace_back("/sys/kernel/security/lockdown is not there (is securityfs mounted?)");
  return std::nullopt;
}

// As the kernel's EFI stub decides (efi_get_secureboot).
void read_secure_boot(const SysRoot& root, KernelPolicy& policy) {
  auto byte = [](const std::optional<EfiVariable>& variable) -> std::optional<uint8_t> {
    if (!variable || variable->value.empty()) return std::nullopt;
    return variable->value[0];
  };
  auto decide = [&](std::optional<bool> state, std::string reason) {
    policy.secure_boot = state;
    policy.secure_boot_reason = std::move(reason);
  };
  try {
    // What the stub left for the kernel on x86, which is what the kernel itself goes by
    // (arch/x86/include/asm/efi.h, arch_ima_efi_boot_mode).
    if (root.exists("/sys/kernel/boot_params/data")) {
      std::vector<uint8_t> params = read_file(root.path("/sys/kernel/boot_params/data"), 1 << 16);
      uint8_t mode = params.size() > secure_boot_offset ? params[secure_boot_offset] : 0;
      if (mode == secure_boot_enabled) return decide(true, "the EFI stub found it on");
      if (mode == secure_boot_disabled) return decide(false, "the EFI stub found it off");
    }
    if (!root.exists("/sys/firmware")) return decide(std::nullopt, "no /sys/firmware");
    if (!root.exists("/sys/firmware/efi")) return decide(false, "not booted by EFI");
    if (!root.exists("/sys/firmware/efi/efivars")) return decide(std::nullopt, "no efivars");
    std::optional<uint8_t> state = byte(read_efi_variable(root, "SecureBoot", efi_global_guid));
    if (!state) {
      std::error_code error;
      bool empty = std::filesystem::is_empty(root.path("/sys/firmware/efi/efivars"), error);
      if (error || empty) return decide(std::nullopt, "efivarfs is not mounted");
      return decide(false, "the firmware has no SecureBoot variable");
    }
    if (*state == 0) return decide(false, "SecureBoot is 0");
    if (byte(read_efi_variable(root, "SetupMode", efi_global_guid)) == 1)
      return decide(false, "SetupMode is 1");
    std::optional<EfiVariable> shim = read_efi_variable(root, "MokSBStateRT", shim_lock_guid);
    if (shim && (shim->attributes & efi_non_volatile) == 0 && byte(shim) == 1) {
      return decide(false, "shim's MokSBStateRT says that validation is off");
    }
    decide(true, "SecureBoot is 1");
  } catch (const Error& e) {
    decide(std::nullopt, e.message());
  }
}

// The value of the last "name=" on a command line.
std::string option_value(std::string_view line, std::string_view name) {
  std::string value;
  while (!line.empty()) {
    std::string_view word = next_token(line, ' ');
    if (word.starts_with(name) && word.substr(name.size()).starts_with('='))
      value = word.substr(name.size() + 1);
  }
  return value;
}

bool has_policy(std::string_view line, std::string_view wanted) {
  while (!line.empty()) {
    std::string_view word = next_token(line, ' ');
    if (!word.starts_with("ima_policy=")) continue;
    word.remove_prefix(std::string_view("ima_policy=").size());
    while (!word.empty()) {
      if (next_token(word, '|') == wanted) return true;
    }
  }
  return false;
}

// Rules that the kernel makes itself (ima_policy.c, ima_init_policy; ima_efi.c), in its order.
std::string built_in_rules(const KernelPolicy& policy, std::string_view command_line, bool& sure) {
  std::string rules;
  auto add = [&](std::optional<bool> when, std::string_view rule) {
    if (!when) sure = false;
    if (when == true) rules += fmt::format("{}\n", rule);
  };
  constexpr std::string_view signed_image = "appraise func=KEXEC_KERNEL_CHECK appraise_type=imasig";
  const KernelConfig& config = policy.config;
  std::optional<bool> unsigned_kexec = config.enabled("CONFIG_KEXEC_SIG");
  if (unsigned_kexec) unsigned_kexec = !*unsigned_kexec;
  add(both(both(config.enabled("CONFIG_IMA_ARCH_POLICY"), policy.secure_boot), unsigned_kexec), signed_image);
  add(has_policy(command_line, "secure_boot"), signed_image);
  add(config.enabled("CONFIG_IMA_APPRAISE_REQUIRE_KEXEC_SIGS"), signed_image);
  return rules;
}

std::string default_rules(std::string_view command_line) {
  std::string_view words = command_line;
  bool appraise = has_policy(command_line, "appraise_tcb");
  while (!words.empty()) appraise = next_token(words, ' ') == "ima_appraise_tcb" || appraise;
  // The dont_appraise rules of that policy are about pseudo file systems; tmpfs and ramfs are where images
  // may be.
  return appraise ? "dont_appraise fsmagic=0x01021994\ndont_appraise fsmagic=0x858458f6\nappraise fowner=0\n"
                  : "";
}

void read_ima(const SysRoot& root, KernelPolicy& policy) {
  ImaState& ima = policy.ima;
  std::string command_line = root.read_line("/proc/cmdline").value_or("");
  ima.mode = "enforce";
  std::optional<bool> may_change = policy.config.enabled("CONFIG_IMA_APPRAISE_BOOTPARAM");
  std::string wish = option_value(command_line, "ima_appraise");
  if (!wish.empty() && may_change != false && policy.secure_boot != true) ima.mode = wish;
  bool enforcing = ima.mode.starts_with("enforce");
  ima.appraises = both(policy.config.enabled("CONFIG_IMA_APPRAISE"), enforcing);
  // What was asked for may not have been granted.
  if (!enforcing && (!may_change || !policy.secure_boot)) ima.appraises = std::nullopt;
  if (ima.appraises == false) {
    ima.complete = true;
    ima.source = enforcing ? "built without IMA appraisal" : "ima_appraise=" + ima.mode;
    return;
  }
  constexpr std::string_view in_force = "/sys/kernel/security/ima/policy";
  constexpr std::string_view at_boot = "/etc/ima/ima-policy";
  std::string problem;
  try {
    if (root.exists(in_force)) {
      std::string text = read_text_file(root.path(in_force), max_policy);
      ima.rules = parse_ima_policy(text);
      ima.source = in_force;
      ima.complete = true;
      return;
    }
  } catch (const Error& e) {
    problem = e.message();  // write-only without CONFIG_IMA_READ_POLICY
  }
  bool sure = true;
  std::string text = built_in_rules(policy, command_line, sure);
  ima.source = "the kernel's build options and command line";
  try {
    if (root.exists(at_boot)) {
      text += read_text_file(root.path(at_boot),
                             max_policy);  // what systemd loads; it replaces the default rules
      ima.source += fmt::format(" and {}", at_boot);
    } else {
      text += default_rules(command_line);
    }
  } catch (const Error& e) {
    sure = false;
    policy.problems.push_back(e.message());
  }
  ima.rules = parse_ima_policy(text);
  ima.complete = sure;
}

}  // namespace

std::vector<ImaRule> parse_ima_policy(std::string_view text) {
  std::vector<ImaRule> rules;
  while (!text.empty()) {
    std::string_view line = next_token(text, '\n');
    std::string_view rest = line;
    std::string_view action = next_token(rest, ' ');
    if (action != "appraise" && action != "dont_appraise") continue;
    ImaRule rule;
    rule.text = line;
    rule.appraise = action == "appraise";
    rule.for_all = true;
    bool for_images = true;
    while (!rest.empty()) {
      std::string_view word = next_token(rest, ' ');
      std::string_view value = word;
      std::string_view name = next_token(value, '=');
      if (name == "func") {
        rule.for_all = false;
        for_images = value == "KEXEC_KERNEL_CHECK";
      } else if (name == "appraise_type") {
        rule.needs_signature = value.find("imasig") != std::string_view::npos || value == "sigv3";
        rule.allows_appended = value.find("modsig") != std::string_view::npos;
      } else if (name == "digest_type") {
        rule.needs_verity = value == "verity";
      } else if (!word.empty() && name != "appraise_flag" && name != "template" &&
                 name != "permit_directio" && name != "pcr") {
        rule.conditions.emplace_back(word);
      }
    }
    if (for_images) rules.push_back(std::move(rule));
  }
  return rules;
}

std::optional<bool> KernelPolicy::enforces_signatures() const {
  // CONFIG_IMA_ARCH_POLICY turns it on at boot (ima_efi.c, arch_get_ima_policy).
  return both(config.enabled("CONFIG_KEXEC_SIG"),
              either(config.enabled("CONFIG_KEXEC_SIG_FORCE"),
                     both(config.enabled("CONFIG_IMA_ARCH_POLICY"), secure_boot)));
}

KernelPolicy read_kernel_policy(const SysRoot& root) {
  KernelPolicy policy;
  policy.release = root.read_line("/proc/sys/kernel/osrelease").value_or("");
  policy.config = read_kernel_config(root);
  if (policy.config.source().empty()) {
    policy.problems.emplace_back("no configuration of this kernel in /proc/config.gz, /boot or /lib/modules");
  }
  policy.crypto = read_kernel_crypto(root, policy.config);
  policy.lockdown = read_lockdown(root, policy.config, policy.problems);
  read_secure_boot(root, policy);
  policy.load_disabled = root.read_line("/proc/sys/kernel/kexec_load_disabled").value_or("0") == "1";
  read_ima(root, policy);
  return policy;
}

}  // namespace kdk
