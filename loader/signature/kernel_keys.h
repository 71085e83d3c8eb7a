// The keys inside the kernel as far as it shows them: /proc/keys lists descriptions; which keyring holds
// which key is only known on the running machine, through keyctl(2).
//
// Source: Linux security/keys/proc.c (columns), crypto/asymmetric_keys/x509_public_key.c (x509_key_preparse:
// the description is "SUBJECT: " and the subject key identifier, or the serial number where there is none).
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/file.h"

namespace kdk {

struct KernelKey {
  uint32_t serial = 0;
  std::string subject;
  std::string id;                     // hex: subject key identifier or certificate serial number
  std::vector<std::string> keyrings;  // ".platform", ...; empty: not known, or in none of those looked at
};

struct KernelKeys {
  // The list shows the kernel's own keyrings, which only root sees: what is not listed is not there.
  bool complete = false;
  bool keyrings_known = false;
  std::string problem;  // why it is not complete
  std::vector<KernelKey> keys;
  std::vector<std::string> blacklisted;  // descriptions in .blacklist: "tbs:...", "bin:..."
};

// Pure: the text of /proc/keys. `keyrings` gets the serial numbers of keyrings by name.
KernelKeys parse_kernel_keys(std::string_view text, std::map<std::string, uint32_t>& keyrings);
// Reads them; on the live root it also asks which keys are in the kernel's keyrings. Never throws for a
// missing or forbidden list: it says so in `problem`.
KernelKeys read_kernel_keys(const SysRoot& root);

}  // namespace kdk
