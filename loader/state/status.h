// Is this machine armed? The kernel only says that *something* is loaded; whether it still fits the machine
// is known from a record the last `load` left: hotplug since then moves what the loaded elfcorehdr points at.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/base/file.h"
#include "loader/prove/crash_test.h"
#include "loader/state/record.h"

namespace kdk {

struct LoadStatus {
  enum class State { armed, stale, not_armed };
  State state = State::not_armed;
  std::vector<std::string> reasons;        // why stale, what could not be checked, what else to know
  std::optional<uint64_t> reserved_bytes;  // kexec_crash_size
  std::optional<LoadRecord> record;        // of this boot, and only while something is loaded
  // Whether the kernel follows hotplug in the loaded image. Absent: it cannot, or nothing is loaded.
  std::optional<bool> follows_cpus;
  std::optional<bool> follows_memory;
  // Not looked for by read_status: that may take a while where there are many dumps.
  std::optional<CrashTestOutcome> crash_test;
};
std::string_view to_string(LoadStatus::State state);

// What of the machine changed since the load and is not in the loaded image, as sentences. Hotplug that the
// kernel follows is no change: it says so of each image (Linux commit 247262756121 ("crash: add generic
// infrastructure for crash hotplug support") (in v6.6)). Throws Error{denied} when this user may not look.
std::vector<std::string> find_changes(const SysRoot& root, const LoadRecord& record);

// Throws Error{missing} when the kernel has no kexec.
LoadStatus read_status(const SysRoot& root);

}  // namespace kdk
