#include "loader/state/status.h"

#include <fmt/format.h>

#include "loader/kexec/kexec.h"
#include "loader/machine/machine.h"
#include "loader/machine/softirqs.h"

namespace kdk {
namespace {

// The record, or nullopt with the reason in `reasons`: another program loaded, the record is from before a
// reboot, damaged, or not for this user to read.
std::optional<LoadRecord> find_record(const SysRoot& root, std::vector<std::string>& reasons) {
  try {
    if (std::optional<LoadRecord> record = read_record(root)) return record;
    reasons.emplace_back(
        "loaded by another program or without a record: whether it fits this machine is not known");
  } catch (const Error& e) {
    reasons.push_back("whether it fits this machine is not known: " + e.message());
  }
  return std::nullopt;
}

// x86: the NMI that stops the other CPUs when the machine crashes goes to every one there is (Linux,
// arch/x86/kernel/apic/ipi.c: apic_smt_update looks for CPUs that were never started only when another one
// comes or goes). A processor that waits to be started ignores it. One emulated by QEMU 7.2 without KVM does
// not: it runs the BIOS, which the crash kernel overwrites, and resets the machine. Seen in guests.
std::vector<std::string> find_unstarted_cpus(const SysRoot& root) {
  std::vector<std::string> found;
  if (!root.exists("/proc/softirqs")) return found;
  std::set<unsigned> ran = cpus_that_ran(root.read_line("/proc/softirqs").value_or(""));
  for (const CpuNote& note : read_cpu_notes(root)) {
    std::string online = fmt::format("/sys/devices/system/cpu/cpu{}/online", note.cpu);
    if (ran.contains(note.cpu) || root.read_line(online) != "0") continue;
    found.push_back(fmt::format(
        "CPU {} was never online: on an emulated machine (QEMU without KVM) the crash would reset it instead "
        "of starting the crash kernel; bring the CPU online (echo 1 > {}) or remove it",
        note.cpu, online));
  }
  return found;
}

}  // namespace

std::string_view to_string(LoadStatus::State state) {
  switch (state) {
    case LoadStatus::State::armed:
      return "armed";
    case LoadStatus::State::stale:
      return "stale";
    case LoadStatus::State::not_armed:
      return "not_armed";
  }
  return "unknown";
}

std::vector<std::string> find_changes(const SysRoot& root, const LoadRecord& record) {
  std::vector<std::string> changes;
  MemoryMap map = read_memory_map(root);
  if (map.crash_regions() != record.crash_regions)
    changes.emplace_back("the crash region is another one than at load time");
  if (map.system_ram() != record.system_ram && kernel_follows_hotplug(root, "memory") != true)
    changes.emplace_back("memory was added or removed since the load");
  if (read_cpu_notes(root) != record.cpu_notes && kernel_follows_hotplug(root, "cpu") != true)
    changes.emplace_back("CPUs were added or removed since the load");
  return changes;
}

LoadStatus read_status(const SysRoot& root) {
  LoadStatus status;
  status.reserved_bytes = read_crash_size(root);
  if (!crash_kernel_loaded(root)) {
    if (status.reserved_bytes == 0)
      status.reasons.emplace_back("no memory is reserved: boot with crashkernel=");
    return status;
  }
  status.state = LoadStatus::State::armed;
  status.follows_cpus = kernel_follows_hotplug(root, "cpu");
  status.follows_memory = kernel_follows_hotplug(root, "memory");
  status.record = find_record(root, status.reasons);
  if (!status.record) return status;
  try {
    std::vector<std::string> changes = find_changes(root, *status.record);
    if (!changes.empty()) status.state = LoadStatus::State::stale;
    status.reasons.insert(status.reasons.end(), changes.begin(), changes.end());
    if (status.record->architecture == x86_64_architecture.name) {
      std::vector<std::string> unstarted = find_unstarted_cpus(root);
      status.reasons.insert(status.reasons.end(), unstarted.begin(), unstarted.end());
    }
  } catch (const Error& e) {
    // Not being allowed to look is no reason to call a good image bad; it is said.
    status.reasons.push_back("not checked for changes since the load: " + e.message());
  }
  return status;
}

}  // namespace kdk
