// What the last load of this boot was, in /run/kdumpkit/loaded.json: how `status` and `verify` know what
// should be in the kernel, and how `reload` and a restore do the same load again.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/base/file.h"
#include "loader/state/request.h"

namespace kdk {

inline constexpr std::string_view load_record_path = "/run/kdumpkit/loaded.json";

struct LoadRecord {
  std::string boot_id;    // /proc/sys/kernel/random/boot_id: a record of another boot means nothing
  std::string loaded_at;  // RFC 3339, UTC
  std::string architecture;
  LoadCall call = LoadCall::kexec_load;
  InputIdentity kernel;
  std::optional<InputIdentity> initrd;
  std::optional<InputIdentity> dtb;
  std::string command_line;
  std::vector<Range> crash_regions;
  std::vector<Range> system_ram;
  std::vector<CpuNote> cpu_notes;
  std::optional<LoadRequest> request;  // absent in records of older programs, like the segments
  std::vector<SegmentIdentity> segments;
};

LoadRecord make_record(const SysRoot& root, const PreparedLoad& load);
// Throws Error{io,denied}: the caller has loaded successfully and should only warn.
void write_record(const SysRoot& root, const LoadRecord& record);
void remove_record(const SysRoot& root);

// nullopt: there is none of this boot. Throws Error{format,denied,io} naming the file.
std::optional<LoadRecord> read_record(const SysRoot& root);

}  // namespace kdk
