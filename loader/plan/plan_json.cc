#include "loader/plan/plan_json.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "core/base/log.h"
#include "loader/kexec/kexec.h"
#include "loader/plan/digest.h"

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

// Null for none.
Json initrd_json(const std::optional<InputIdentity>& initrd) {
  if (!initrd) return nullptr;
  Json json = identity_json(*initrd);
  json["section"] = initrd->is_whole_file() ? Json(nullptr) : Json(clean(initrd->section));
  return json;
}

Json strings_json(const std::vector<std::string>& strings) {
  Json list = Json::array();
  for (const std::string& text : strings) list.push_back(clean(text));
  return list;
}

Json header_json(std::string_view id, std::string_view version) {
  Json json;
  json["schema"] = {{"id", id}, {"version", version}};
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

Json kernel_json(const InputIdentity& file, const KernelInfo& image) {
  Json json = identity_json(file);
  json["format"] = image.format;
  json["compression"] = image.compression;
  json["release"] = image.release.empty() ? Json(nullptr) : Json(clean(image.release));
  json["image_size"] = hex(image.image_size);
  json["text_offset"] = image.text_offset ? Json(hex(*image.text_offset)) : Json(nullptr);
  json["page_size_bytes"] = image.page_size != 0 ? Json(image.page_size) : Json(nullptr);
  json["signature_bytes"] = image.signature_size;
  json["bzimage"] = nullptr;
  if (!image.bzimage) return json;
  const BzImage& header = *image.bzimage;
  json["bzimage"] = {
      {"boot_protocol", fmt::format("{}.{:02}", header.protocol >> 8, header.protocol & 0xff)},
      {"version", clean(header.version)},
      {"alignment", hex(header.alignment)},
      {"preferred_address", hex(header.preferred_address)},
      {"command_line_bytes", header.command_line_size},
      {"relocatable", header.relocatable},
      {"entry_64bit", header.entry_64bit},
      {"above_4g", header.above_4g},
      {"five_level", header.five_level},
  };
  return json;
}

Json segments_json(const std::vector<Segment>& segments) {
  Json list = Json::array();
  for (const Segment& segment : segments) {
    list.push_back({{"name", segment.name},
                    {"address", hex(segment.memory.start)},
                    {"memory_size", hex(segment.memory.size)},
                    {"data_bytes", segment.data.size()},
                    {"rewritten_by_kernel", segment.rewritten_by_kernel},
                    {"in_digest", in_digest(segment)}});
  }
  return list;
}

Json expected_json(const std::vector<ExpectedSegment>& segments) {
  Json list = Json::array();
  for (const ExpectedSegment& segment : segments) {
    list.push_back({{"name", segment.name},
                    {"address", hex(segment.memory.start)},
                    {"memory_size", hex(segment.memory.size)},
                    {"estimated", segment.estimated}});
  }
  return list;
}

Json core_headers_json(const std::vector<CoreHeader>& headers) {
  Json list = Json::array();
  for (const CoreHeader& header : headers) {
    list.push_back({{"kind", to_string(header.kind)},
                    {"cpu", header.cpu ? Json(*header.cpu) : Json(nullptr)},
                    {"physical_address", hex(header.memory.start)},
                    {"size", hex(header.memory.size)},
                    {"virtual_address", header.vaddr != 0 ? Json(hex(header.vaddr)) : Json(nullptr)}});
  }
  return list;
}

Json addresses_json(const std::optional<KernelAddresses>& addresses) {
  if (!addresses) return nullptr;
  Json json = {{"source", addresses->source}, {"linear_offset", nullptr}, {"image", nullptr}};
  if (addresses->linear_offset) json["linear_offset"] = hex(*addresses->linear_offset);
  if (addresses->image) {
    json["image"] = range_json(addresses->image->memory);
    json["image"]["virtual_address"] = hex(addresses->image->vaddr);
  }
  json["problems"] = strings_json(addresses->problems);
  return json;
}

Json device_tree_json(const std::optional<DeviceTreePlan>& tree) {
  if (!tree) return nullptr;
  Json json = {{"source", clean(tree->source)}, {"edits", Json::array()}};
  for (const DtbEdit& edit : tree->edits) {
    json["edits"].push_back(
        {{"action", edit.action}, {"target", clean(edit.target)}, {"value", clean(edit.value)}});
  }
  return json;
}

Json digest_json(const DigestPlan& digest) {
  return {{"mode", to_string(digest.mode)},
          {"on", digest.on},
          {"reason", clean(digest.reason)},
          {"bytes", digest.bytes},
          {"estimated_milliseconds", static_cast<uint64_t>(digest.seconds * 1000)},
          {"sha256_instructions", digest.instructions},
          {"console", digest.console.empty() ? Json(nullptr) : Json(clean(digest.console))},
          {"resets", digest.can_reset}};
}

// Who makes and places the segments, and why some lists are empty then.
Json placement_json(LoadCall call) {
  if (call == LoadCall::kexec_load) return {{"by", "kdump-load"}, {"reason", nullptr}};
  return {{"by", "kernel"},
          {"reason", "with kexec_file_load the kernel makes and places segments and program headers itself"}};
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

Json request_json(const LoadRequest& request) {
  return {{"kernel", clean(request.kernel)},
          {"initrd", clean(request.initrd)},
          {"dtb", clean(request.dtb)},
          {"command_line", request.command_line ? Json(clean(*request.command_line)) : Json(nullptr)},
          {"append", clean(request.append)},
          {"add_defaults", request.add_defaults},
          {"uki_initrd", request.uki_initrd},
          {"uki_command_line", request.uki_command_line},
          {"syscall", request.call ? Json(to_string(*request.call)) : Json(nullptr)},
          {"digest", to_string(request.digest)}};
}

}  // namespace

std::string plan_to_json(const LoadPlan& plan, bool loaded) {
  Json json = header_json("kdumpkit/load-plan", "2.3.0");
  json["architecture"] = plan.architecture->name;
  json["syscall"] = to_string(plan.call);
  json["syscall_reason"] = clean(plan.call_reason);
  json["flags"] = strings_json(load_flag_names(plan));
  json["optional_flags"] = strings_json(optional_flag_names(plan));
  json["good"] = plan.good();
  json["loaded"] = loaded;
  json["kernel"] = kernel_json(plan.kernel, plan.image);
  json["initrd"] = initrd_json(plan.initrd);
  json["command_line"] = {{"text", clean(plan.command_line.text)},
                          {"source", plan.command_line.source},
                          {"limit_characters", plan.command_line_limit.characters},
                          {"removed", strings_json(plan.command_line.removed)},
                          {"added", strings_json(plan.command_line.added)}};
  json["crash_regions"] = ranges_json(plan.crash_regions);
  json["system_ram"] = ranges_json(plan.system_ram);
  json["cpu_notes"] = cpu_notes_json(plan.cpu_notes);
  json["entry"] = plan.entry ? Json(hex(*plan.entry)) : Json(nullptr);
  json["placement"] = placement_json(plan.call);
  json["segments"] = segments_json(plan.segments);
  json["digest"] = digest_json(plan.digest);
  json["expected_segments"] = expected_json(plan.expected);
  json["program_headers"] = core_headers_json(plan.core_headers);
  json["program_headers_kept_by"] = to_string(plan.header_upkeep);
  json["kernel_addresses"] = addresses_json(plan.addresses);
  json["device_tree"] = device_tree_json(plan.device_tree);
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
  json["architecture"] = clean(record.architecture);
  json["syscall"] = to_string(record.call);
  json["kernel"] = identity_json(record.kernel);
  json["initrd"] = initrd_json(record.initrd);
  json["command_line"] = clean(record.command_line);
  json["crash_regions"] = ranges_json(record.crash_regions);
  json["system_ram"] = ranges_json(record.system_ram);
  json["cpu_notes"] = cpu_notes_json(record.cpu_notes);
  if (!record.request) return json.dump(2);
  json["dtb"] = record.dtb ? identity_json(*record.dtb) : Json(nullptr);
  json["request"] = request_json(*record.request);
  json["segments"] = Json::array();
  for (const SegmentIdentity& segment : record.segments) {
    Json item = {{"name", clean(segment.name)}};
    item.update(range_json(segment.memory));
    item["sha256"] = segment.sha256.empty() ? Json(nullptr) : Json(segment.sha256);
    json["segments"].push_back(item);
  }
  return json.dump(2);
}

std::string status_to_json(const LoadStatus& status) {
  Json json = header_json("kdumpkit/load-status", "1.5.0");
  json["state"] = to_string(status.state);
  json["reasons"] = strings_json(status.reasons);
  json["reserved_bytes"] = status.reserved_bytes ? Json(*status.reserved_bytes) : Json(nullptr);
  auto optional_bool = [](const std::optional<bool>& value) { return value ? Json(*value) : Json(nullptr); };
  json["crash_hotplug"] = {{"cpu", optional_bool(status.follows_cpus)},
                           {"memory", optional_bool(status.follows_memory)}};
  json["crash_test"] =
      status.crash_test ? Json::parse(crash_test_to_json(*status.crash_test)) : Json(nullptr);
  json["record"] = status.record ? Json::parse(record_to_json(*status.record)) : Json(nullptr);
  return json.dump(2);
}

}  // namespace kdk
