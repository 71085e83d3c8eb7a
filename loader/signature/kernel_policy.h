// What the running kernel demands of a kernel image: its build options, lockdown, Secure Boot, IMA's rules.
// Everything that cannot be read stays unknown; nothing is concluded from a kernel's version.
//
// Source: Linux kernel/Kconfig.kexec, security/lockdown/lockdown.c,
// drivers/firmware/efi/libstub/secureboot.c, security/integrity/ima/.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/base/file.h"
#include "loader/machine/kernel_config.h"
#include "loader/signature/kernel_crypto.h"

namespace kdk {

// One rule of IMA that decides about kernel images.
struct ImaRule {
  std::string text;
  bool appraise = false;  // false: dont_appraise
  bool for_all = false;   // without func=: files of every use
  bool needs_signature = false;
  bool allows_appended = false;
  bool needs_verity = false;
  std::vector<std::string> conditions;  // what else must hold for the rule to apply: "fowner=0"
};
// The rules out of a policy that can apply to kernel images, in order.
std::vector<ImaRule> parse_ima_policy(std::string_view text);

struct ImaState {
  std::optional<bool> appraises;  // built with appraisal, and enforcing; nullopt: not known
  std::string mode;               // "enforce", "log", "fix", "off"
  std::vector<ImaRule> rules;
  std::string source;     // where the rules come from
  bool complete = false;  // these are the rules in force; false: there may be others
};

struct KernelPolicy {
  std::string release;  // running kernel; may be empty
  KernelConfig config;
  KernelCrypto crypto;
  std::optional<std::string> lockdown;  // "none", "integrity", "confidentiality"; nullopt: not known
  std::optional<bool> secure_boot;
  std::string secure_boot_reason;
  bool load_disabled = false;
  ImaState ima;
  std::vector<std::string> problems;

  bool locked() const { return lockdown && *lockdown != "none"; }
  // Are images without a good signature refused by kexec_file_load whatever lockdown says?
  std::optional<bool> enforces_signatures() const;
};

KernelPolicy read_kernel_policy(const SysRoot& root);

}  // namespace kdk
