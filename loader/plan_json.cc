#include "loader/plan_json.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "core/base/log.h"

namespace kdk {
namespace {

using Json = nlohmann::ordered_json;

std::string hex(uint64_t value) {
  return fmt::format("0x{:016x}", value);
}

// Text that came from files or devices: made valid UTF-8 without control bytes.
std::string clean(std::string_view text) {
  return escape_untrusted(text);
}

Json range_json(const Range& range) {
  return {{"start", hex(range.start)}, {"size", hex(range.size)}};
}

Json ranges_json(const std::vector<Range>& ranges) {
  Json list = Json::array();
  for (const Range& range : ranges) list.push_back(range_json(range));
  return list;
}

Json identity_json(const InputIdentity& input) {
  return {{"path", clean(input.path)}, {"size_bytes", input.size}, {"sha256", input.sha256}};
}

Json strings_json(const std::vector<std::string>& strings) {
  Json list = Json::array();
  for (const std::string& text : strings) list.push_back(clean(text));
  return list;
}

Json header_json(std::string_view id) {
  Json json;
  json["schema"] = {{"id", id}, {"version", "1.0.0"}};
  json["tool"] = {{"name", "kdump-load"}, {"version", KDK_VERSION}};
  return json;
}

Json memory_json(const MemoryEstimate& memory) {
  Json json = {{"usable_bytes", memory.usable},
               {"kernel_bytes", memory.kernel},
               {"kernel_own_bytes", memory.kernel_own},
               {"initrd_packed_bytes", memory.initrd_packed},
               {"unpack_limit_bytes", memory.unpack_limit},
               {"limited_by_tmpfs", memory.limited_by_tmpfs},
               {"initrd", nullptr}};
  if (!memory.initrd) return json;
  Json members = Json::array();
  for (const InitrdMember& member : memory.initrd->members) {
    members.push_back({{"format", member.format == PackFormat::none ? "cpio" : to_string(member.format)},
                       {"offset_bytes", member.offset},
                       {"packed_bytes", member.packed_size},
                       {"unpacked_bytes", member.unpacked_size}});
  }
  json["initrd"] = {{"unpacked_memory_bytes", memory.initrd->memory},
                    {"files", memory.initrd->files},
                    {"exact", memory.initrd->exact},
                    {"has_init", memory.initrd->has_init},
                    {"members", members}};
  return json;
}

Json addresses_json(const KernelAddresses& addresses) {
  Json json = {{"source", addresses.source}, {"linear_offset", nullptr}, {"image", nullptr}};
  if (addresses.linear_offset) json["linear_offset"] = hex(*addresses.linear_offset);
  if (addresses.image) {
    json["image"] = range_json(addresses.image->memory);
    json["image"]["virtual_address"] = hex(addresses.image->vaddr);
  }
  json["problems"] = strings_json(addresses.problems);
  return json;
}

Json cpu_notes_json(const std::vector<CpuNote>& notes) {
  Json list = Json::array();
  for (const CpuNote& note : notes) {
    Json item = {{"cpu", note.cpu}};
    item.update(range_json(note.memory));
    list.push_back(item);
  }
  return list;
}

}  // namespace

std::string plan_to_json(const LoadPlan& plan, bool loaded) {
  Json json = header_json("kdumpkit/load-plan");
  json["architecture"] = "arm64";
  json["good"] = plan.good();
  json["loaded"] = loaded;
  json["kernel"] = identity_json(plan.kernel);
  json["kernel"]["compression"] = plan.compression;
  json["kernel"]["image_size"] = hex(plan.image_size);
  json["kernel"]["text_offset"] = hex(plan.text_offset);
  json["kernel"]["page_size_bytes"] =
      plan.kernel_page_size != 0 ? Json(plan.kernel_page_size) : Json(nullptr);
  json["initrd"] = plan.initrd ? identity_json(*plan.initrd) : Json(nullptr);
  json["command_line"] = {{"text", clean(plan.command_line.text)},
                          {"source", plan.command_line.source},
                          {"removed", strings_json(plan.command_line.removed)},
                          {"added", strings_json(plan.command_line.added)}};
  json["crash_regions"] = ranges_json(plan.crash_regions);
  json["system_ram"] = ranges_json(plan.system_ram);
  json["entry"] = hex(plan.entry);
  json["segments"] = Json::array();
  for (const Segment& segment : plan.segments) {
    json["segments"].push_back({{"name", segment.name},
                                {"address", hex(segment.memory.start)},
                                {"memory_size", hex(segment.memory.size)},
                                {"data_bytes", segment.data.size()}});
  }
  json["program_headers"] = Json::array();
  for (const CoreHeader& header : plan.core_headers) {
    json["program_headers"].push_back(
        {{"kind", to_string(header.kind)},
         {"cpu", header.cpu ? Json(*header.cpu) : Json(nullptr)},
         {"physical_address", hex(header.memory.start)},
         {"size", hex(header.memory.size)},
         {"virtual_address", header.vaddr != 0 ? Json(hex(header.vaddr)) : Json(nullptr)}});
  }
  json["kernel_addresses"] = addresses_json(plan.addresses);
  json["device_tree"] = {{"source", clean(plan.dtb_source)}, {"edits", Json::array()}};
  for (const DtbEdit& edit : plan.dtb_edits) {
    json["device_tree"]["edits"].push_back(
        {{"action", edit.action}, {"target", clean(edit.target)}, {"value", clean(edit.value)}});
  }
  json["memory"] = memory_json(plan.memory);
  json["checks"] = Json::array();
  for (const Check& check : plan.checks) {
    json["checks"].push_back(
        {{"name", check.name}, {"status", to_string(check.status)}, {"detail", clean(check.detail)}});
  }
  return json.dump(2);
}

std::string record_to_json(const LoadRecord& record) {
  Json json = {{"boot_id", clean(record.boot_id)}, {"loaded_at", record.loaded_at}};
  json["kernel"] = identity_json(record.kernel);
  json["initrd"] = record.initrd ? identity_json(*record.initrd) : Json(nullptr);
  json["command_line"] = clean(record.command_line);
  json["crash_regions"] = ranges_json(record.crash_regions);
  json["system_ram"] = ranges_json(record.system_ram);
  json["cpu_notes"] = cpu_notes_json(record.cpu_notes);
  return json.dump(2);
}

std::string status_to_json(const LoadStatus& status) {
  Json json = header_json("kdumpkit/load-status");
  json["state"] = to_string(status.state);
  json["reasons"] = strings_json(status.reasons);
  json["reserved_bytes"] = status.reserved_bytes ? Json(*status.reserved_bytes) : Json(nullptr);
  json["record"] = status.record ? Json::parse(record_to_json(*status.record)) : Json(nullptr);
  return json.dump(2);
}

}  // namespace kdk
