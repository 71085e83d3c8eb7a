#include "analyze/render/json_parts.h"

#include <fmt/format.h>

#include <ctime>
#include <nlohmann/json.hpp>

#include "core/base/log.h"

namespace kdk::json {

using nlohmann::ordered_json;

ordered_json text(std::string_view value) {
  return value.empty() ? ordered_json(nullptr) : ordered_json(value);
}

ordered_json hex(std::optional<uint64_t> value) {
  return value ? ordered_json(hex64(*value)) : ordered_json(nullptr);
}

ordered_json integer(std::optional<uint64_t> value) {
  constexpr uint64_t exact = uint64_t{1} << 53;
  return value && *value < exact ? ordered_json(*value) : ordered_json(nullptr);
}

ordered_json time(std::optional<uint64_t> epoch_seconds) {
  if (!epoch_seconds || *epoch_seconds > 253402300799) return nullptr;  // the year 9999
  std::tm parts{};
  std::time_t seconds = static_cast<std::time_t>(*epoch_seconds);
  char buffer[64];
  if (gmtime_r(&seconds, &parts) == nullptr) return nullptr;
  if (std::strftime(buffer, sizeof buffer, "%Y-%m-%dT%H:%M:%SZ", &parts) == 0) return nullptr;
  return {{"utc", buffer}, {"epoch_seconds", *epoch_seconds}};
}

ordered_json input(const InputFacts& facts) {
  const DumpInfo& dump = facts.dump;
  ordered_json out;
  out["files"] = facts.files;
  out["format"] = dump.format == DumpFormat::elf ? "elf" : "kdump-compressed";
  out["flattened"] = dump.flattened;
  out["split_parts"] = dump.split_parts;
  out["header_version"] =
      dump.format == DumpFormat::elf ? ordered_json(nullptr) : ordered_json(dump.header_version);
  out["file_bytes"] = integer(dump.file_bytes);
  out["architecture"] = text(facts.architecture);
  out["page_size_bytes"] = dump.page_size;
  out["page_size_assumed"] = dump.page_size_assumed;
  out["dump_level"] = dump.dump_level ? ordered_json(*dump.dump_level) : ordered_json(nullptr);
  out["complete"] = !dump.incomplete;
  out["incomplete_reason"] = text(escape_untrusted(dump.incomplete_reason));
  out["ram_bytes"] = integer(facts.ram_bytes);
  out["present_bytes"] = integer(facts.present_bytes);
  out["cpu_notes"] = facts.cpu_notes;
  out["vmcoreinfo"] = facts.vmcoreinfo;
  if (!facts.erased.empty()) out["erased"] = facts.erased;
  return out;
}

ordered_json header(std::string_view name) {
  ordered_json out;
  out["schema"] = {{"id", fmt::format("kdumpkit/{}", name)}, {"version", "1.7.0"}};
  out["tool"] = {{"name", "kdump-analyze"}, {"version", KDK_VERSION}};
  return out;
}

ordered_json envelope(std::string_view name, const InputFacts& facts, const std::vector<Limit>& limits) {
  ordered_json out = header(name);
  out["input"] = input(facts);
  out["status"] = partial(limits) ? "partial" : "complete";
  return out;
}

ordered_json evidence(const Evidence& e) {
  ordered_json kallsyms = nullptr;
  if (e.kallsyms.found) {
    kallsyms = {
        {"symbols", e.kallsyms.count}, {"encoding", e.kallsyms.encoding}, {"data_symbols", e.kallsyms.all}};
  }
  ordered_json vmlinux = nullptr;
  if (!e.vmlinux.empty()) {
    vmlinux = {{"path", e.vmlinux},
               {"build_id", text(e.vmlinux_build_id)},
               {"match", text(e.vmlinux_match)},
               {"debug_file", text(e.vmlinux_debug_file)}};
  }
  ordered_json out;
  out["tier"] = e.tier;
  out["kallsyms"] = std::move(kallsyms);
  out["types"] = text(e.types_source);
  out["vmlinux"] = std::move(vmlinux);
  out["vmlinux_tried"] = e.vmlinux_tried;
  out["vmlinux_refused"] = e.vmlinux_refused;
  ordered_json modules = ordered_json::array();
  for (const ModuleDebugFacts& module : e.modules) {
    modules.push_back({{"name", module.module},
                       {"build_id", text(module.build_id)},
                       {"path", text(module.path)},
                       {"match", text(module.match)},
                       {"refused", module.refused}});
  }
  out["modules"] = std::move(modules);
  return out;
}

ordered_json variables(const std::vector<FunctionVariables>& functions) {
  ordered_json out = ordered_json::array();
  for (const FunctionVariables& function : functions) {
    ordered_json items = ordered_json::array();
    for (const Variable& item : function.items) {
      items.push_back({{"name", item.name},
                       {"type", item.type},
                       {"kind", item.parameter ? "parameter" : "local"},
                       {"state", to_string(item.state)},
                       {"value", item.state == Variable::State::known ? ordered_json(item.value) : nullptr},
                       {"address", hex(item.address)}});
    }
    out.push_back({{"frame", function.frame},
                   {"inlined", function.inlined},
                   {"function", text(function.function)},
                   {"items", std::move(items)}});
  }
  return out;
}

ordered_json identity(const SystemInfo& id) {
  ordered_json out;
  out["release"] = text(id.release);
  out["version"] = text(id.version);
  out["machine"] = text(id.machine);
  out["architecture"] = text(id.architecture);
  out["hostname"] = text(id.hostname);
  out["build_id"] = text(id.build_id);
  out["cpus_possible"] = integer(id.cpus_possible);
  out["cpus_online"] = integer(id.cpus_online);
  out["crash_time"] = time(id.crash_time);
  out["boot_time"] = time(id.boot_time);
  out["uptime_ms"] = id.uptime_ns ? integer(*id.uptime_ns / 1'000'000) : ordered_json(nullptr);
  out["kaslr_offset"] = hex(id.kaslr_offset);
  if (id.va) {
    out["addresses"] = {{"virtual_bits", id.va->va_bits},
                        {"physical_bits", id.va->pa_bits},
                        {"page_size_bytes", uint64_t{1} << id.va->page_shift},
                        {"page_offset", hex(id.va->page_offset)},
                        {"phys_offset", hex(id.va->phys_offset)},
                        {"image_offset", hex(id.va->image_offset)},
                        {"pac_mask", hex(id.va->signature_mask)}};
  } else {
    out["addresses"] = nullptr;
  }
  if (id.taint_source.empty()) {
    out["taint"] = nullptr;
  } else {
    ordered_json flags = ordered_json::array();
    for (const TaintFlag& flag : id.taint_flags) {
      flags.push_back(
          {{"bit", flag.bit}, {"letter", std::string(1, flag.letter)}, {"meaning", flag.meaning}});
    }
    out["taint"] = {{"mask", hex(id.taint_mask)},
                    {"letters", id.taint_letters},
                    {"flags", std::move(flags)},
                    {"source", id.taint_source}};
  }
  if (id.command_line_source.empty()) {
    out["command_line"] = nullptr;
  } else {
    out["command_line"] = {{"text", id.command_line}, {"source", id.command_line_source}};
  }
  return out;
}

ordered_json log_record(const LogRecord& record) {
  constexpr uint32_t is_cpu = uint32_t{1} << 31;
  ordered_json caller = nullptr;
  if ((record.caller_id & is_cpu) != 0) caller = {{"cpu", record.caller_id & ~is_cpu}};
  if (record.caller_id != 0 && (record.caller_id & is_cpu) == 0) caller = {{"thread", record.caller_id}};
  ordered_json out;
  out["seq"] = integer(record.seq);
  // Microseconds: nanoseconds pass 2^53 after 104 days of uptime.
  out["time_us"] = integer(record.time_ns / 1000);
  out["level"] = record.level;
  out["facility"] = record.facility;
  out["caller"] = std::move(caller);
  out["text"] = escape_untrusted(record.text, "\n\t");
  out["subsystem"] = text(escape_untrusted(record.subsystem));
  out["device"] = text(escape_untrusted(record.device));
  out["continuation"] = record.continuation;
  out["incomplete"] = record.incomplete;
  out["truncated"] = record.truncated;
  return out;
}

ordered_json limits(const std::vector<Limit>& limits) {
  ordered_json out = ordered_json::array();
  for (const Limit& limit : limits) {
    out.push_back({{"path", limit.path},
                   {"code", limit.code},
                   {"detail", limit.detail},
                   {"need", text(limit.need)},
                   {"damage", limit.damage}});
  }
  return out;
}

std::string dump(const ordered_json& document) {
  return document.dump(2, ' ', false, ordered_json::error_handler_t::replace) + '\n';
}

}  // namespace kdk::json
