// What evidence there is for answers about a dump, and which file or package would make them better.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace kdk {

struct Checkup {
  std::string name;  // "dump", "vmcoreinfo", "log", "symbols", "types", "orc", "vmlinux", "module virtio_blk"
  std::string state;   // "good", "partial", "missing"
  std::string detail;  // one sentence; escaped
  std::string need;    // the file or package that would help; empty: nothing would, or nothing is needed
  std::vector<std::string> looked;  // where it was looked for; escaped
};

struct Doctor {
  std::string distribution;  // "Debian", "Ubuntu", "Fedora", "SUSE", or empty: not recognised
  std::vector<Checkup> checks;
  bool good() const {
    for (const Checkup& check : checks) {
      if (check.state != "good") return false;
    }
    return true;
  }
};

// Whose kernel this is, by what the builders put into the release and the version (uname -r, -v).
std::string distribution_of(std::string_view release, std::string_view version);
// The package with the kernel's debug information, and where it puts the vmlinux; "" for an unknown one.
std::string debug_package(std::string_view distribution, std::string_view release);

}  // namespace kdk
