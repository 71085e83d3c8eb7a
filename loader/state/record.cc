#include "loader/state/record.h"

#include <fmt/chrono.h>

#include <nlohmann/json.hpp>

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
  InputIdentity identity{json.at("path").get<std::string>(), json.at("size_bytes").get<uint64_t>(),
                         json.at("sha256").get<std::string>()};
  if (json.contains("section") && !json.at("section").is_null())
    identity.section = json.at("section").get<std::string>();
  return identity;
}

std::optional<InputIdentity> parse_optional_identity(const Json& json) {
  return json.is_null() ? std::nullopt : std::optional(parse_identity(json));
}

LoadCall parse_call(const std::string& text) {
  for (LoadCall call : {LoadCall::kexec_load, LoadCall::kexec_file_load}) {
    if (text == to_string(call)) return call;
  }
  throw Error(Errc::format, "\"syscall\" is neither kexec_load nor kexec_file_load");
}

DigestMode parse_digest(const std::string& text) {
  for (DigestMode mode : {DigestMode::automatic, DigestMode::on, DigestMode::off}) {
    if (text == to_string(mode)) return mode;
  }
  throw Error(Errc::format, "\"digest\" is neither auto, on nor off");
}

LoadRequest parse_request(const Json& json) {
  LoadRequest request;
  request.kernel = json.at("kernel").get<std::string>();
  request.initrd = json.at("initrd").get<std::string>();
  request.dtb = json.at("dtb").get<std::string>();
  if (!json.at("command_line").is_null()) request.command_line = json.at("command_line").get<std::string>();
  request.append = json.at("append").get<std::string>();
  request.add_defaults = json.at("add_defaults").get<bool>();
  // Records of older programs lack these.
  request.uki_initrd = json.value("uki_initrd", false);
  request.uki_command_line = json.value("uki_command_line", false);
  if (json.contains("syscall") && !json.at("syscall").is_null())
    request.call = parse_call(json.at("syscall").get<std::string>());
  // Older programs had none, which `auto` may well give them now.
  request.digest = parse_digest(json.value("digest", std::string(to_string(DigestMode::automatic))));
  return request;
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
    record.initrd = parse_optional_identity(json.at("initrd"));
    record.command_line = json.at("command_line").get<std::string>();
    record.crash_regions = parse_ranges(json.at("crash_regions"));
    record.system_ram = parse_ranges(json.at("system_ram"));
    for (const Json& item : json.at("cpu_notes")) {
      record.cpu_notes.push_back({item.at("cpu").get<unsigned>(), parse_range(item)});
    }
    // Older programs left no more than that.
    if (!json.contains("request")) return record;
    record.dtb = parse_optional_identity(json.at("dtb"));
    record.request = parse_request(json.at("request"));
    for (const Json& item : json.at("segments")) {
      record.segments.push_back({item.at("name").get<std::string>(), parse_range(item),
                                 item.at("sha256").is_null() ? "" : item.at("sha256").get<std::string>()});
    }
    return record;
  } catch (const Json::exception& e) {
    throw Error(Errc::format, e.what());
  }
}

}  // namespace

LoadRecord make_record(const SysRoot& root, const PreparedLoad& load) {
  const LoadPlan& plan = load.plan;
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
  record.dtb = load.dtb;
  record.request = load.request;
  record.segments = load.segments;
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

std::optional<LoadRecord> read_record(const SysRoot& root) {
  std::optional<std::string> text = root.read_line(load_record_path);
  if (!text) return std::nullopt;
  LoadRecord record = with_context(load_record_path, [&] { return parse_record(*text); });
  return record.boot_id == read_boot_id(root) ? std::optional(std::move(record)) : std::nullopt;
}

}  // namespace kdk
