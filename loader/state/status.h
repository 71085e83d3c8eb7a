// Is this machine armed? The kernel only says that *something* is loaded; whether it still fits the machine
// is known from a record the last `load` left: hotplug since then moves what the loaded elfcorehdr points at.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/base/file.h"
#include "loader/plan/plan.h"

namespace kdk {

inline constexpr std::string_view load_record_path = "/run/kdumpkit/loaded.json";

// What was loaded, by whom the loaded image can be recognised as ours and judged later.
struct LoadRecord {
  std::string boot_id;    // /proc/sys/kernel/random/boot_id: a record of another boot means nothing
  std::string loaded_at;  // RFC 3339, UTC
  std::string architecture;
  LoadCall call = LoadCall::kexec_load;
  InputIdentity kernel;
  std::optional<InputIdentity> initrd;
  std::string command_line;
  std::vector<Range> crash_regions;
  std::vector<Range> system_ram;
  std::vector<CpuNote> cpu_notes;
};

LoadRecord make_record(const SysRoot& root, const LoadPlan& plan);
// Throws Error{io,denied}: the caller has loaded successfully and should only warn.
void write_record(const SysRoot& root, const LoadRecord& record);
void remove_record(const SysRoot& root);

struct LoadStatus {
  enum class State { armed, stale, not_armed };
  State state = State::not_armed;
  std::vector<std::string> reasons;        // why stale, or what could not be checked
  std::optional<uint64_t> reserved_bytes;  // kexec_crash_size
  std::optional<LoadRecord> record;        // of this boot, and only while something is loaded
};
std::string_view to_string(LoadStatus::State state);

// Throws Error{missing} when the kernel has no kexec.
LoadStatus read_status(const SysRoot& root);

}  // namespace kdk
