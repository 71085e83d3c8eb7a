// The running machine as the loader needs to see it: read once, from /proc and /sys under a root directory,
// into plain data. Everything after this works on the data alone, so a plan can be computed for any recorded
// machine, anywhere.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/base/file.h"
#include "loader/arch/architecture.h"
#include "loader/machine/kcore.h"
#include "loader/machine/kernel_config.h"
#include "loader/machine/memory_map.h"
#include "loader/machine/purgatory_facts.h"

namespace kdk {

// Where one possible CPU will write its registers when the machine crashes.
struct CpuNote {
  unsigned cpu = 0;
  Range memory;  // physical
  friend auto operator<=>(const CpuNote&, const CpuNote&) = default;
};

// Which core a CPU is: MIDR_EL1 (arm64).
struct CpuModel {
  unsigned cpu = 0;
  uint64_t midr = 0;
};

struct Machine {
  const Architecture* architecture = nullptr;
  MemoryMap memory;
  std::vector<CpuNote> cpu_notes;           // ascending; numbering may have holes
  std::vector<unsigned> cpus_without_note;  // in sysfs, but without crash_notes
  uint64_t possible_cpus = 0;               // how many there may ever be; 0 where sysfs does not tell
  std::vector<CpuModel> cpu_models;         // ascending; empty where sysfs does not tell
  Range vmcoreinfo_note;                    // physical
  std::optional<Kcore> kcore;
  std::string kcore_problem;               // why kcore is absent
  std::optional<uint64_t> kallsyms_stext;  // absent when not listed or hidden as zero
  std::optional<uint64_t> page_size;       // of the running kernel
  std::optional<uint64_t> managed_memory;  // bytes: MemTotal of /proc/meminfo, the kernel's totalram_pages
  std::string command_line;
  std::vector<uint8_t> device_tree;  // flattened; empty where the architecture has none
  std::string device_tree_source;
  std::optional<uint64_t> crash_size;  // /sys/kernel/kexec_crash_size: bytes of the main crash region
  std::string lockdown;             // "none", "integrity", "confidentiality"; empty when the kernel has none
  bool load_disabled = false;       // sysctl kernel.kexec_load_disabled
  bool load_limit_used_up = false;  // sysctl kernel.kexec_load_limit_panic counts down to 0; -1 is no limit
  std::optional<bool> has_boot_capability;  // this process's CAP_SYS_BOOT; absent for a recorded machine
  KernelConfig config;                      // of the running kernel; empty when it is not readable
  // Whether the running kernel has kexec_file_load; absent when neither it nor its configuration tells.
  std::optional<bool> has_file_load;
  std::optional<bool> secure_boot;        // EFI variable; absent on other firmware or when not readable
  std::optional<uint64_t> firmware_bits;  // of the EFI firmware, 32 or 64; absent on other firmware
  std::vector<uint8_t> boot_params;       // x86: the running kernel's, 4096 bytes; empty when not readable
  std::optional<uint64_t> acpi_rsdp;      // physical address of ACPI's root table, where EFI names it
  std::optional<uint64_t>
      elfcorehdr_size;  // /sys/kernel/crash_elfcorehdr_size: what the kernel reserves for it

  PurgatoryFacts purgatory;

  bool locked_down() const { return lockdown == "integrity" || lockdown == "confidentiality"; }
};

// Reads everything a plan needs. Throws Error{denied} when addresses are hidden from this user,
// Error{missing} when the kernel offers no crash dumping (each with a hint), Error{unsupported} on an
// architecture that has no loader here, Error{format} for contradictory content.
Machine read_machine(const SysRoot& root);

// /sys/kernel/kexec_crash_size: bytes of the main crash region; nullopt for a kernel without kexec. Since
// Linux 7bb5da0d490b the kernel only tries its lock and says EBUSY while another kernel is being loaded or
// unloaded, which takes seconds where there are signatures to check or much to copy: waits for half a minute.
// Throws Error{io,format}.
std::optional<uint64_t> read_crash_size(const SysRoot& root);

// The part that hotplug changes, used again by `status` to tell a stale image from a good one.
std::vector<CpuNote> read_cpu_notes(const SysRoot& root);
MemoryMap read_memory_map(const SysRoot& root);

// Whether the kernel says it follows hotplug of `what` ("cpu", "memory") in the image that is loaded now
// (/sys/devices/system/*/crash_hotplug): one it made itself, or one that came with the flag for it. Absent:
// this kernel cannot. Source: kernel/crash_core.c (crash_check_hotplug_support).
std::optional<bool> kernel_follows_hotplug(const SysRoot& root, std::string_view what);

}  // namespace kdk
