#include "loader/plan/file_load_checks.h"

#include <fmt/format.h>

#include <algorithm>

#include "loader/plan/elf64.h"

namespace kdk {
namespace {

// Why this kernel will insist on a signature; an empty string when nothing is known to make it.
std::string signature_reason(const Machine& machine) {
  if (machine.config.enabled("CONFIG_KEXEC_SIG") == false) return "";
  if (machine.config.enabled("CONFIG_KEXEC_SIG_FORCE") == true) return "CONFIG_KEXEC_SIG_FORCE is on";
  // arch/x86/kernel/ima_arch.c and security/integrity/ima/ima_efi.c: arch_get_ima_policy enforces it.
  if (machine.secure_boot == true && machine.config.enabled("CONFIG_IMA_ARCH_POLICY") == true)
    return "Secure Boot is on";
  if (machine.locked_down()) return fmt::format("kernel lockdown is \"{}\"", machine.lockdown);
  return "";
}

}  // namespace

// The kernel's elfcorehdr: its own word where it keeps room for hotplug, else one program header per possible
// CPU and RAM range, two for the kernel image and VMCOREINFO, one for RAM split at 1 MiB
// (kernel/crash_core.c, crash_prepare_elf64_headers).
uint64_t expected_elfcorehdr_size(const Machine& machine, const LoadPlan& plan) {
  size_t ranges = subtract_ranges(plan.system_ram, plan.crash_regions).size();
  uint64_t cpus = std::max<uint64_t>(machine.cpu_notes.size(), machine.possible_cpus);
  return elfcorehdr_size(machine, cpus + ranges + 3);
}

Outcome check_signature(const Machine& machine, const LoadPlan& plan) {
  std::string reason = signature_reason(machine);
  std::string carries =
      plan.image.signature_size == 0
          ? "the kernel file carries none"
          : fmt::format("the kernel file carries one of {} bytes", plan.image.signature_size);
  if (reason.empty()) {
    std::string_view known =
        machine.config.source().empty()
            ? " (how this kernel was built is not known: no /boot/config-* or /proc/config.gz)"
            : "";
    return ok(fmt::format("no signature is required as far as is known{}; {}", known, carries));
  }
  if (plan.image.signature_size != 0) {
    return warning(fmt::format(
        "{}: the kernel will verify the signature when it loads, and frees the crash kernel loaded "
        "before even when it refuses ({}; `kdump-load check-image` tells before)",
        reason, carries));
  }
  std::string problem =
      fmt::format("{}: the kernel wants a signature, and {}; use a signed kernel", reason, carries);
  // An IMA policy that appraises kexec images stands in for it under lockdown alone.
  bool ima_may_help = machine.config.enabled("CONFIG_IMA_APPRAISE").value_or(true) &&
                      machine.config.enabled("CONFIG_KEXEC_SIG_FORCE") != true && machine.secure_boot != true;
  return ima_may_help ? warning(problem + ", unless an IMA policy accepts it") : failed(problem);
}

Outcome check_expected(const Machine& machine, const LoadPlan& plan) {
  uint64_t total = 0;
  for (const ExpectedSegment& segment : plan.expected) total += segment.memory.size;
  if (std::optional<Outcome> refused = refuse_half_of_memory(machine, plan, total)) return *refused;
  return ok(fmt::format("the kernel will find room for {} segments, {} of {}", plan.expected.size(),
                        mib(total), mib(plan.main_region().size)));
}

}  // namespace kdk
