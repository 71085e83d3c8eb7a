// `dev`: text and JSON (schemas/analyze-dev.schema.json).
#include "analyze/render/devices.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "analyze/render/json_parts.h"
#include "analyze/render/object_parts.h"
#include "analyze/render/text_parts.h"

namespace kdk {
namespace {

using nlohmann::ordered_json;

std::string majors_text(std::string_view title, const std::vector<DeviceMajor>& all) {
  std::string out = fmt::format("{:<10} {:<12} {:<24} {}\n", title, "MINORS", "NAME", "OPERATIONS");
  for (const DeviceMajor& one : all) {
    const std::string minors =
        one.minors == 0 ? "-" : fmt::format("{}-{}", one.first_minor, one.first_minor + one.minors - 1);
    out += fmt::format("{:<10} {:<12} {:<24} {}\n", one.major, minors, one.name,
                       one.operations.empty() ? "-" : one.operations);
  }
  return out;
}

ordered_json majors_json(const std::vector<DeviceMajor>& all) {
  ordered_json out = ordered_json::array();
  for (const DeviceMajor& one : all) {
    out.push_back({{"major", one.major},
                   {"first_minor", one.first_minor},
                   {"minors", one.minors},
                   {"name", json::text(one.name)},
                   {"operations", json::text(one.operations)}});
  }
  return out;
}

}  // namespace

std::string text::block_request(const BlockRequest& request) {
  std::string out =
      fmt::format("             {} {:016x}  {}", request.in_driver ? "in the driver" : "waits        ",
                  request.address, request.operation);
  if (request.bytes && *request.bytes != 0) out += fmt::format(", {}", bytes(*request.bytes));
  if (request.sector && *request.sector != UINT64_MAX) out += fmt::format(" at sector {}", *request.sector);
  if (request.age_ns) out += fmt::format(", for {}", span(*request.age_ns));
  return out + '\n';
}

ordered_json json::block_device(const BlockDevice& disk) {
  ordered_json requests = ordered_json::array();
  for (const BlockRequest& request : disk.requests) {
    requests.push_back({{"address", hex(request.address)},
                        {"operation", request.operation},
                        {"in_driver", request.in_driver},
                        {"sector", integer(request.sector)},
                        {"bytes", integer(request.bytes)},
                        {"age_us", signed_microseconds(request.age_ns)}});
  }
  ordered_json out;
  out["name"] = text(disk.name);
  out["block_device"] = hex(disk.address);
  out["gendisk"] = hex(disk.disk);
  out["major"] = disk.major;
  out["minor"] = disk.minor;
  out["partition"] = disk.partition;
  out["size_bytes"] = integer(disk.size_bytes);
  out["openers"] = integer(disk.openers);
  out["dead"] = disk.dead;
  out["driver"] = text(disk.driver);
  out["scheduler"] = text(disk.scheduler);
  out["freeze_depth"] = integer(disk.freeze_depth);
  out["quiesce_depth"] = integer(disk.quiesce_depth);
  out["counted_in_flight"] = disk.counted ? ordered_json(*disk.counted) : ordered_json(nullptr);
  out["requests"] = std::move(requests);
  return out;
}

std::string to_text(const Answer<Devices>& answer) {
  const Devices& facts = answer.facts;
  std::string out = majors_text("CHARACTER", facts.characters);
  out += '\n' + majors_text("BLOCK", facts.blocks);
  out += fmt::format("\n{:<8} {:<12} {:<16} {:>10} {:>5} {:>4}  {}\n", "DEVICE", "NAME", "BLOCK_DEVICE",
                     "SIZE", "OPEN", "I/O", "DRIVER");
  for (const BlockDevice& disk : facts.disks) {
    const size_t on_the_way = std::max<size_t>(
        disk.requests.size(), disk.counted && *disk.counted > 0 ? static_cast<size_t>(*disk.counted) : 0);
    out += fmt::format(
        "{:<8} {:<12} {:016x} {:>10} {:>5} {:>4}  {}{}{}{}\n", fmt::format("{}:{}", disk.major, disk.minor),
        disk.name, disk.address, disk.size_bytes ? text::bytes(*disk.size_bytes) : "?",
        disk.openers ? fmt::format("{}", *disk.openers) : "?", on_the_way,
        disk.partition == 0 ? disk.driver : "", disk.scheduler.empty() ? "" : ", scheduler " + disk.scheduler,
        disk.freeze_depth.value_or(0) != 0 ? ", FROZEN" : "",
        disk.quiesce_depth.value_or(0) != 0 ? ", QUIESCED" : "");
    for (const BlockRequest& request : disk.requests) out += text::block_request(request);
  }
  return out;
}

std::string to_json_text(const Answer<Devices>& answer) {
  const Devices& facts = answer.facts;
  ordered_json out = json::envelope("analyze-dev", answer.input, answer.limits);
  out["evidence"] = json::evidence(answer.evidence);
  out["clock"] = json::kernel_clock(facts.clock);
  out["character_majors"] = majors_json(facts.characters);
  out["block_majors"] = majors_json(facts.blocks);
  ordered_json disks = ordered_json::array();
  for (const BlockDevice& disk : facts.disks) disks.push_back(json::block_device(disk));
  out["disks"] = std::move(disks);
  out["limits"] = json::limits(answer.limits);
  return json::dump(out);
}

}  // namespace kdk
