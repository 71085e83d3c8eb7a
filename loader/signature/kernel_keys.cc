#include "loader/signature/kernel_keys.h"

#include <fmt/format.h>
#include <linux/keyctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include "loader/machine/parse.h"

namespace kdk {
namespace {

constexpr uint64_t max_text = 16 << 20;
// Those a kernel image can be verified with, and the one that forbids.
constexpr std::array<std::string_view, 7> interesting = {".builtin_trusted_keys",
                                                         ".secondary_trusted_keys",
                                                         ".machine",
                                                         ".platform",
                                                         ".ima",
                                                         "_ima",
                                                         ".blacklist"};

std::string_view next_column(std::string_view& line) {
  line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
  return next_token(line, ' ');
}

// "SUBJECT: ID: X509.rsa SHORTID []" -> subject and id.
void parse_asymmetric(uint32_t serial, std::string_view description, KernelKeys& out) {
  size_t type = description.find(": X509.");
  if (type == std::string_view::npos) return;
  std::string_view name = description.substr(0, type);
  size_t colon = name.rfind(": ");
  if (colon == std::string_view::npos) return;
  out.keys.push_back({serial, std::string(name.substr(0, colon)), std::string(name.substr(colon + 2)), {}});
}

// Serial numbers of what is linked into a keyring.
std::vector<uint32_t> read_keyring(uint32_t serial) {
  std::vector<uint32_t> members(4096);
  long size = ::syscall(SYS_keyctl, KEYCTL_READ, serial, members.data(), members.size() * sizeof(uint32_t));
  if (size < 0) throw error_from_errno(errno, "keyctl");
  members.resize(std::min(members.size(), static_cast<size_t>(size) / sizeof(uint32_t)));
  return members;
}

void ask_membership(const std::map<std::string, uint32_t>& keyrings, KernelKeys& out) {
  for (std::string_view name : interesting) {
    auto keyring = keyrings.find(std::string(name));
    if (keyring == keyrings.end()) continue;
    std::vector<uint32_t> members = read_keyring(keyring->second);
    for (KernelKey& key : out.keys) {
      if (std::find(members.begin(), members.end(), key.serial) != members.end())
        key.keyrings.emplace_back(name);
    }
  }
  out.keyrings_known = true;
}

}  // namespace

KernelKeys parse_kernel_keys(std::string_view text, std::map<std::string, uint32_t>& keyrings) {
  KernelKeys out;
  while (!text.empty()) {
    std::string_view line = next_token(text, '\n');
    std::optional<uint64_t> serial = parse_number(next_column(line), 16);
    for (int skipped = 0; skipped < 6; ++skipped)
      next_column(line);  // flags usage timeout permissions uid gid
    std::string_view type = next_column(line);
    line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
    if (!serial || *serial > UINT32_MAX) continue;
    auto number = static_cast<uint32_t>(*serial);
    // The column is nine characters wide: "asymmetri" on kernels that cut it there.
    if (type.starts_with("asymmetri")) parse_asymmetric(number, line, out);
    if (type.starts_with("blacklist")) out.blacklisted.emplace_back(line);
    if (type == "keyring") keyrings[std::string(line.substr(0, line.rfind(": ")))] = number;
  }
  out.complete = keyrings.contains(".builtin_trusted_keys");
  if (!out.complete) out.problem = "/proc/keys does not show the kernel's own keyrings: only root sees them";
  return out;
}

KernelKeys read_kernel_keys(const SysRoot& root) {
  KernelKeys out;
  try {
    if (!root.exists("/proc/keys")) {
      out.problem = "there is no /proc/keys";
      return out;
    }
    std::map<std::string, uint32_t> keyrings;
    out = parse_kernel_keys(read_text_file(root.path("/proc/keys"), max_text), keyrings);
    if (out.complete && root.is_live()) ask_membership(keyrings, out);
  } catch (const Error& e) {
    out.problem = e.message();
  }
  return out;
}

}  // namespace kdk
