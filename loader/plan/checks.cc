#include "loader/plan/checks.h"

#include <fmt/format.h>

#include <algorithm>

namespace kdk {
namespace {

Outcome check_permission(const Machine& machine, const LoadPlan& plan) {
  if (machine.load_disabled) {
    return failed(
        "kernel.kexec_load_disabled is 1: nothing can be loaded until the next boot (the setting cannot be "
        "undone)");
  }
  if (machine.load_limit_used_up) {
    return failed(
        "kernel.kexec_load_limit_panic is 0: no more crash kernels can be loaded until the next boot");
  }
  if (machine.has_boot_capability == false)
    return failed("this process lacks CAP_SYS_BOOT: run as root, with that capability");
  // kexec_file_load is allowed under lockdown for kernels with a good signature: another check.
  if (plan.call == LoadCall::kexec_load && machine.locked_down()) {
    return failed(fmt::format(
        "kernel lockdown is \"{}\" (Secure Boot): kexec_load is refused, and a kernel without "
        "CONFIG_KEXEC_FILE has no other way; use --syscall auto, or turn lockdown or Secure Boot off",
        machine.lockdown));
  }
  if (plan.call == LoadCall::kexec_file_load && machine.has_file_load == false) {
    return failed(
        "this kernel has no kexec_file_load (CONFIG_KEXEC_FILE is off); use --syscall auto or kexec");
  }
  if (plan.call == LoadCall::kexec_load && machine.config.enabled("CONFIG_KEXEC") == false) {
    return failed(fmt::format("this kernel has no kexec_load (CONFIG_KEXEC is off in {}); use --syscall auto",
                              machine.config.source()));
  }
  return ok(machine.lockdown.empty() ? "no lockdown" : "lockdown is " + machine.lockdown);
}

Outcome check_crash_region(const Machine& machine, const LoadPlan& plan) {
  for (const Range& region : plan.crash_regions) {
    if (!inside_any(region, plan.system_ram)) return failed(to_string(region) + " is not inside System RAM");
  }
  uint64_t main = plan.main_region().size;
  uint64_t total = total_size(plan.crash_regions);
  // The kernel reports the main region, or both (kernel/crash_core.c, crash_get_memory_size, changed over
  // time).
  if (machine.crash_size && *machine.crash_size != main && *machine.crash_size != total) {
    return failed(fmt::format("/sys/kernel/kexec_crash_size is {} bytes, /proc/iomem shows {}",
                              *machine.crash_size, total));
  }
  return ok(fmt::format("main {} ({}){}", to_string(plan.main_region()), mib(main),
                        plan.crash_regions.size() == 2 ? ", low " + to_string(plan.crash_regions[0]) : ""));
}

Outcome judge_command_line(const LoadPlan& plan) {
  const std::string& line = plan.command_line.text;
  if (line.size() > plan.command_line_limit.characters) {
    return failed(fmt::format("{} characters; {} {}", line.size(), plan.command_line_limit.reason,
                              plan.command_line_limit.characters));
  }
  if (line.find_first_of(std::string_view("\n\0", 2)) != std::string::npos)
    return failed("it holds a line break or a NUL");
  if (std::count(line.begin(), line.end(), '"') % 2 != 0) return failed("a double quote is not closed");
  if (!find_option(line, "panic"))
    return warning("without panic=N a failing crash kernel hangs the machine for ever");
  if (find_option(line, "crashkernel"))
    return warning("crashkernel= reserves memory the crash kernel cannot spare");
  return ok(fmt::format("{} characters ({})", line.size(), plan.command_line.source));
}

}  // namespace

std::string mib(uint64_t bytes) {
  return fmt::format("{:.1f} MiB", static_cast<double>(bytes) / (1 << 20));
}

std::optional<Outcome> refuse_half_of_memory(const Machine& machine, const LoadPlan& plan, uint64_t total) {
  uint64_t memory =
      machine.managed_memory.value_or(total_size(plan.system_ram) - total_size(plan.crash_regions));
  if (total <= memory / 2) return std::nullopt;
  return failed(
      fmt::format("{} of segments is more than half of the running kernel's {}, which it refuses: use a "
                  "smaller initramfs",
                  mib(total), mib(memory)));
}

void check_machine(const Machine& machine, LoadPlan& plan) {
  plan.checks.push_back(run_check("permission", [&] { return check_permission(machine, plan); }));
  plan.checks.push_back(run_check("crash_region", [&] { return check_crash_region(machine, plan); }));
}

void check_command_line(LoadPlan& plan) {
  plan.checks.push_back(run_check("command_line", [&] { return judge_command_line(plan); }));
}

}  // namespace kdk
