// How distributions name their kernels and the packages with their debug information.
#include "analyze/inspect/doctor.h"

#include <fmt/format.h>

#include <array>

namespace kdk {

std::string distribution_of(std::string_view release, std::string_view version) {
  auto has = [](std::string_view text, std::string_view part) {
    return text.find(part) != std::string_view::npos;
  };
  if (has(version, "Ubuntu")) return "Ubuntu";
  if (has(version, "Debian")) return "Debian";
  // ".fc40.x86_64", ".el9.aarch64"
  for (std::string_view part : {".fc", ".el"}) {
    const size_t at = release.find(part);
    if (at != std::string_view::npos && at + 3 < release.size() && release[at + 3] >= '0' &&
        release[at + 3] <= '9')
      return "Fedora";
  }
  for (std::string_view flavour : {"-default", "-64kb", "-azure", "-rt_debug"}) {
    if (release.ends_with(flavour)) return "SUSE";
  }
  return {};
}

std::string debug_package(std::string_view distribution, std::string_view release) {
  if (distribution == "Debian")
    return fmt::format("the package linux-image-{0}-dbg: /usr/lib/debug/boot/vmlinux-{0}", release);
  if (distribution == "Ubuntu")
    return fmt::format(
        "the package linux-image-unsigned-{0}-dbgsym (or linux-image-{0}-dbgsym) of the ddebs archive: "
        "/usr/lib/debug/boot/vmlinux-{0}",
        release);
  if (distribution == "Fedora")
    return fmt::format(
        "the package kernel-debuginfo-{0} (dnf debuginfo-install kernel-{0}): "
        "/usr/lib/debug/lib/modules/{0}/vmlinux",
        release);
  if (distribution == "SUSE") {
    const size_t dash = release.rfind('-');
    return fmt::format("the package kernel{}-debuginfo of version {}: /usr/lib/debug/boot/vmlinux-{}.debug",
                       dash == std::string_view::npos ? "" : release.substr(dash), release.substr(0, dash),
                       release);
  }
  return {};
}

}  // namespace kdk
