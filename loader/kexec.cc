#include "loader/kexec.h"

#include <fmt/format.h>
#include <linux/kexec.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace kdk {
namespace {

constexpr unsigned long kexec_flags = KEXEC_ON_CRASH | KEXEC_ARCH_AARCH64;

long kexec_load(uint64_t entry, const std::vector<kexec_segment>& segments) {
  return ::syscall(SYS_kexec_load, static_cast<unsigned long>(entry), segments.size(), segments.data(),
                   kexec_flags);
}

std::string_view protection_after_failure(bool was_loaded) {
  if (crash_kernel_loaded(SysRoot())) return "the crash kernel loaded before is still armed";
  return was_loaded ? "the crash kernel loaded before was freed by this attempt: THIS MACHINE HAS NO CRASH "
                      "KERNEL NOW"
                    : "no crash kernel is loaded";
}

}  // namespace

bool crash_kernel_loaded(const SysRoot& root) {
  std::optional<std::string> text = root.read_line("/sys/kernel/kexec_crash_loaded");
  if (!text) {
    throw Error(Errc::missing,
                "/sys/kernel/kexec_crash_loaded does not exist: this kernel is built without kexec")
        .with_hint("use a kernel with CONFIG_KEXEC and CONFIG_CRASH_DUMP");
  }
  return *text == "1";
}

Error explain_kexec_errno(int errno_value, std::string_view action) {
  auto error = [&](Errc code, std::string_view why, std::string hint) {
    std::string text = fmt::format("{}: {} ({})", action, why, std::generic_category().message(errno_value));
    return Error(code, text).with_hint(std::move(hint));
  };
  switch (errno_value) {
    case EPERM:
      return error(
          Errc::denied, "the kernel does not allow it",
          "run as root (CAP_SYS_BOOT); check kernel.kexec_load_disabled, kernel.kexec_load_limit_panic and "
          "/sys/kernel/security/lockdown");
    case EBUSY:
      return error(Errc::io, "another program is loading a kernel", "try again");
    case EADDRNOTAVAIL:
      return error(Errc::unsupported, "a segment is not inside the region reserved for the crash kernel",
                   "compare /proc/iomem with `kdump-load plan`; the region may have been shrunk meanwhile");
    case EINVAL:
      return error(Errc::unsupported, "the kernel found the segments or flags invalid",
                   "run `kdump-load plan -v` and report its output: the checks should have found this");
    case ENOMEM:
      return error(Errc::io, "not enough free memory to stage the segments", "free memory and try again");
    case ENOSYS:
      return error(Errc::unsupported, "this kernel has no kexec_load", "use a kernel with CONFIG_KEXEC");
    default:
      return error(Errc::io, "the kernel refused", "");
  }
}

void load_crash_kernel(const LoadPlan& plan) {
  if (!plan.good()) throw Error(Errc::unsupported, "a plan with failed checks is never loaded");
  bool was_loaded = crash_kernel_loaded(SysRoot());
  std::vector<kexec_segment> segments;
  for (const Segment& segment : plan.segments) {
    // The kernel's interface carries the physical address in a pointer.
    segments.push_back({segment.data.data(), segment.data.size(),
                        reinterpret_cast<const void*>(static_cast<uintptr_t>(segment.memory.start)),
                        segment.memory.size});
  }
  if (kexec_load(plan.entry, segments) != 0) {
    Error error = explain_kexec_errno(errno, "kexec_load");
    throw Error(error.code(), error.message() + "; " + std::string(protection_after_failure(was_loaded)))
        .with_hint(error.hint());
  }
  if (!crash_kernel_loaded(SysRoot())) {
    throw Error(
        Errc::io,
        "kexec_load succeeded, but /sys/kernel/kexec_crash_loaded is not 1: no crash kernel is loaded");
  }
}

void unload_crash_kernel() {
  if (kexec_load(0, {}) != 0) {
    Error error = explain_kexec_errno(errno, "unloading the crash kernel");
    throw Error(error.code(), error.message()).with_hint(error.hint());
  }
  if (crash_kernel_loaded(SysRoot())) {
    throw Error(Errc::io, "unloading succeeded, but /sys/kernel/kexec_crash_loaded is still 1");
  }
}

}  // namespace kdk
