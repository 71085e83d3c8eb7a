#include "loader/state/status.h"

#include "loader/kexec/kexec.h"
#include "loader/machine/parse.h"

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
  bool made_by_kernel = record.call == LoadCall::kexec_file_load;
  if (map.system_ram() != record.system_ram && !(made_by_kernel && kernel_follows_hotplug(root, "memory")))
    changes.emplace_back("memory was added or removed since the load");
  if (read_cpu_notes(root) != record.cpu_notes && !(made_by_kernel && kernel_follows_hotplug(root, "cpu")))
    changes.emplace_back("CPUs were added or removed since the load");
  return changes;
}

LoadStatus read_status(const SysRoot& root) {
  LoadStatus status;
  if (std::optional<std::string> size = root.read_line("/sys/kernel/kexec_crash_size")) {
    status.reserved_bytes = parse_number(*size, 10);
  }
  if (!crash_kernel_loaded(root)) {
    if (status.reserved_bytes == 0)
      status.reasons.emplace_back("no memory is reserved: boot with crashkernel=");
    return status;
  }
  status.state = LoadStatus::State::armed;
  status.record = find_record(root, status.reasons);
  if (!status.record) return status;
  try {
    std::vector<std::string> changes = find_changes(root, *status.record);
    if (!changes.empty()) status.state = LoadStatus::State::stale;
    status.reasons.insert(status.reasons.end(), changes.begin(), changes.end());
  } catch (const Error& e) {
    // Not being allowed to look is no reason to call a good image bad; it is said.
    status.reasons.push_back("not checked for changes since the load: " + e.message());
  }
  return status;
}

}  // namespace kdk
