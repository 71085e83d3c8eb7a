#include "loader/state/status.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "loader/kexec/kexec.h"
#include "loader/machine/parse.h"
#include "loader/plan/plan_json.h"

namespace kdk {
namespace {

using Json = nlohmann::ordered_json;

std::string read_boot_id(const SysRoot& root) {
  return root.read_line("/proc/sys/kernel/random/boot_id").value_or("");
}

uint64_t parse_hex_field(const Json& json) {
  std::optional<uint64_t> value = parse_number(json.get<std::string>(), 16);
  if (!value) throw Error(Errc::format, "an address is not hexadecimal");
  return *value;
}

Range parse_range(const Json& json) {
  return {parse_hex_field(json.at("start")), parse_hex_field(json.at("size"))};
}

std::vector<Range> parse_ranges(const Json& json) {
  std::vector<Range> ranges;
  for (const Json& item : json) ranges.push_back(parse_range(item));
  return ranges;
}

InputIdentity parse_identity(const Json& json) {
  return {json.at("path").get<std::string>(), json.at("size_bytes").get<uint64_t>(),
          json.at("sha256").get<std::string>()};
}

LoadCall parse_call(const std::string& text) {
  for (LoadCall call : {LoadCall::kexec_load, LoadCall::kexec_file_load}) {
    if (text == to_string(call)) return call;
  }
  throw Error(Errc::format, "\"syscall\" is neither kexec_load nor kexec_file_load");
}

LoadRecord parse_record(const std::string& text) {
  try {
    Json json = Json::parse(text);
    LoadRecord record;
    record.boot_id = json.at("boot_id").get<std::string>();
    record.loaded_at = json.at("loaded_at").get<std::string>();
    // Records of programs before x86-64 was supported lack both.
    record.architecture = json.value("architecture", "arm64");
    record.call = parse_call(json.value("syscall", std::string(to_string(LoadCall::kexec_load))));
    record.kernel = parse_identity(json.at("kernel"));
    if (!json.at("initrd").is_null()) record.initrd = parse_identity(json.at("initrd"));
    record.command_line = json.at("command_line").get<std::string>();
    record.crash_regions = parse_ranges(json.at("crash_regions"));
    record.system_ram = parse_ranges(json.at("system_ram"));
    for (const Json& item : json.at("cpu_notes")) {
      record.cpu_notes.push_back({item.at("cpu").get<unsigned>(), parse_range(item)});
    }
    return record;
  } catch (const Json::exception& e) {
    throw Error(Errc::format, e.what());
  }
}

// The record of this boot; nullopt with the reason in `reasons`: another program loaded, the record is from
// before a reboot, damaged, or not for this user to read.
std::optional<LoadRecord> read_record(const SysRoot& root, std::vector<std::string>& reasons) {
  try {
    std::optional<std::string> text = root.read_line(load_record_path);
    if (text) {
      LoadRecord record = with_context(load_record_path, [&] { return parse_record(*text); });
      if (record.boot_id == read_boot_id(root)) return record;
    }
    reasons.emplace_back(
        "loaded by another program or without a record: whether it fits this machine is not known");
  } catch (const Error& e) {
    reasons.push_back("whether it fits this machine is not known: " + e.message());
  }
  return std::nullopt;
}

// What changed since the load, as sentences. A header the kernel made itself follows hotplug where the kernel
// says so (Linux commit 247262756121 ("crash: add generic infrastructure for crash hotplug support") (in
// v6.6)). Throws Error{denied} when this user may not look.
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

LoadRecord make_record(const SysRoot& root, const LoadPlan& plan) {
  LoadRecord record;
  record.boot_id = read_boot_id(root);
  record.loaded_at = fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr)));
  record.architecture = plan.architecture->name;
  record.call = plan.call;
  record.kernel = plan.kernel;
  record.initrd = plan.initrd;
  record.command_line = plan.command_line.text;
  record.crash_regions = plan.crash_regions;
  record.system_ram = plan.system_ram;
  record.cpu_notes = plan.cpu_notes;
  return record;
}

void write_record(const SysRoot& root, const LoadRecord& record) {
  std::filesystem::path path = root.path(load_record_path);
  std::error_code error;
  std::filesystem::create_directories(path.parent_path(), error);
  if (error) throw error_from_errno(error.value(), path.parent_path().string());
  std::string text = record_to_json(record) + "\n";
  write_file_atomic(path, as_bytes(text), 0600);
}

void remove_record(const SysRoot& root) {
  std::error_code error;
  std::filesystem::remove(root.path(load_record_path), error);
  if (error) throw error_from_errno(error.value(), root.path(load_record_path).string());
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
  status.record = read_record(root, status.reasons);
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
