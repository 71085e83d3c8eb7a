#include "loader/reserve/report.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "core/base/log.h"
#include "loader/plan/checks.h"

namespace kdk {
namespace {

using Json = nlohmann::ordered_json;

std::string region_name(const Reservation& reservation, size_t i) {
  return i + 1 == reservation.regions.size() ? "main" : "low";
}

void add_asked(std::string& out, const Reservation& reservation) {
  for (const CrashkernelOption& option : reservation.decision.options) {
    out += fmt::format("asked     crashkernel={} ({}{})\n", escape_untrusted(option.value),
                       option.used ? "used" : "not used",
                       option.remark.empty() ? "" : "; " + escape_untrusted(option.remark));
  }
  if (const std::optional<CrashkernelRequest>& request = reservation.decision.request) {
    out += fmt::format("          with {} of RAM: {}", mib(reservation.ram), mib(request->size));
    if (request->offset != 0) out += fmt::format(" at {:#x}", request->offset);
    if (request->high) out += " above 4 GiB if there is room";
    if (request->low) out += fmt::format(", {} below", mib(*request->low));
    if (request->cma != 0) out += fmt::format(", {} more of CMA", mib(request->cma));
    out += "\n";
  }
}

void add_reserved(std::string& out, const Reservation& reservation) {
  std::string note = reservation.detail.empty() ? "as asked for" : escape_untrusted(reservation.detail);
  if (reservation.regions.empty()) out += "reserved  nothing: " + note + "\n";
  for (size_t i = reservation.regions.size(); i-- > 0;) {
    const Range& region = reservation.regions[i];
    bool main = i + 1 == reservation.regions.size();
    out += fmt::format("reserved  {:<4} {} ({}){}\n", region_name(reservation, i), to_string(region),
                       mib(region.size), main ? "; " + note : "");
  }
  if (reservation.regions.empty()) return;
  if (!reservation.loaded) {
    out += "used      by nothing: no crash kernel is loaded\n";
  } else if (reservation.segments.empty()) {
    out += "used      by a crash kernel whose segments are not known (another program loaded it)\n";
  } else {
    uint64_t sum = 0;
    std::string parts;
    for (const SegmentIdentity& segment : reservation.segments) {
      sum += segment.memory.size;
      parts += fmt::format("{}{} {}", parts.empty() ? "" : ", ", escape_untrusted(segment.name),
                           mib(segment.memory.size));
    }
    out += fmt::format("used      {} by the loaded crash kernel ({}); the rest is its memory\n", mib(sum),
                       parts);
  }
}

void add_recommendation(std::string& out, const Recommendation& r, const Reservation& reservation) {
  out += fmt::format("\nneeded by {} with {} ({} KiB pages, {} CPU{}), in MiB:\n", escape_untrusted(r.kernel),
                     r.initrd.empty() ? "no initramfs" : escape_untrusted(r.initrd), r.page_size >> 10,
                     r.cpus, r.cpus == 1 ? "" : "s");
  auto number = [](uint64_t bytes) { return fmt::format("{:.1f}", static_cast<double>(bytes) / (1 << 20)); };
  auto line = [&](std::string_view name, std::string_view unpacking, std::string_view capturing,
                  std::string_view what) {
    out +=
        fmt::format("  {:<15} {:>9} {:>9}{}{}\n", name, unpacking, capturing, what.empty() ? "" : "  ", what);
  };
  line("", "unpacking", "capturing", "");
  for (const MemoryItem& item : r.items)
    line(item.name, number(item.unpacking), number(item.capturing), item.what);
  line("sum", number(r.unpacking), number(r.capturing), "");
  line("margin", "", number(r.margin), "an eighth of the larger sum");
  line("recommended", "", fmt::format("{}", r.size >> 20), "rounded up to 16 MiB");
  if (r.enough) {
    out += "\nenough is reserved";
  } else {
    out += reservation.regions.empty()
               ? "\nnothing is reserved"
               : fmt::format("\nTOO LITTLE is reserved ({})", mib(total_size(reservation.regions)));
  }
  out += fmt::format("; to reserve what is recommended: {}\n", r.crashkernel);
}

std::string hex(uint64_t value) {
  return fmt::format("0x{:016x}", value);
}

Json decision_json(const CrashkernelDecision& decision) {
  Json json = {{"options", Json::array()}, {"request", nullptr}, {"problem", nullptr}};
  for (const CrashkernelOption& option : decision.options) {
    json["options"].push_back(
        {{"value", escape_untrusted(option.value)},
         {"kind", to_string(option.kind)},
         {"used", option.used},
         {"remark", option.remark.empty() ? Json(nullptr) : Json(escape_untrusted(option.remark))}});
  }
  if (decision.request) {
    const CrashkernelRequest& request = *decision.request;
    json["request"] = {{"size", hex(request.size)},
                       {"offset", request.offset != 0 ? Json(hex(request.offset)) : Json(nullptr)},
                       {"high", request.high},
                       {"low", request.low ? Json(hex(*request.low)) : Json(nullptr)},
                       {"cma", request.cma != 0 ? Json(hex(request.cma)) : Json(nullptr)}};
  }
  if (!decision.problem.empty()) json["problem"] = escape_untrusted(decision.problem);
  return json;
}

Json reservation_json(const Reservation& reservation) {
  Json json = {
      {"state", to_string(reservation.state)},
      {"detail", reservation.detail.empty() ? Json(nullptr) : Json(escape_untrusted(reservation.detail))},
      {"ram_bytes", reservation.ram},
      {"regions", Json::array()},
      {"loaded", reservation.loaded},
      {"segments", Json::array()}};
  for (size_t i = 0; i < reservation.regions.size(); ++i) {
    json["regions"].push_back({{"name", region_name(reservation, i)},
                               {"start", hex(reservation.regions[i].start)},
                               {"size", hex(reservation.regions[i].size)}});
  }
  for (const SegmentIdentity& segment : reservation.segments) {
    json["segments"].push_back({{"name", escape_untrusted(segment.name)},
                                {"start", hex(segment.memory.start)},
                                {"size", hex(segment.memory.size)}});
  }
  return json;
}

Json recommendation_json(const Recommendation& r) {
  Json items = Json::array();
  for (const MemoryItem& item : r.items) {
    items.push_back({{"name", item.name},
                     {"what", item.what},
                     {"unpacking_bytes", item.unpacking},
                     {"capturing_bytes", item.capturing}});
  }
  return {{"kernel", escape_untrusted(r.kernel)},
          {"initrd", r.initrd.empty() ? Json(nullptr) : Json(escape_untrusted(r.initrd))},
          {"page_size_bytes", r.page_size},
          {"cpus", r.cpus},
          {"items", items},
          {"unpacking_bytes", r.unpacking},
          {"capturing_bytes", r.capturing},
          {"margin_bytes", r.margin},
          {"size_bytes", r.size},
          {"crashkernel", r.crashkernel},
          {"enough", r.enough}};
}

}  // namespace

std::string reserve_to_text(const ReserveReport& report) {
  std::string out;
  add_asked(out, report.reservation);
  add_reserved(out, report.reservation);
  if (report.recommendation) {
    add_recommendation(out, *report.recommendation, report.reservation);
  } else {
    out += "\nno recommendation: " + escape_untrusted(report.no_recommendation) + "\n";
  }
  return out;
}

std::string reserve_to_json(const ReserveReport& report) {
  Json json = {{"schema", {{"id", "kdumpkit/load-reserve"}, {"version", "1.0.0"}}},
               {"tool", {{"name", "kdump-load"}, {"version", KDK_VERSION}}},
               {"architecture", report.architecture}};
  json["crashkernel"] = decision_json(report.reservation.decision);
  json["reservation"] = reservation_json(report.reservation);
  json["recommendation"] =
      report.recommendation ? recommendation_json(*report.recommendation) : Json(nullptr);
  json["no_recommendation"] =
      report.no_recommendation.empty() ? Json(nullptr) : Json(escape_untrusted(report.no_recommendation));
  return json.dump(2);
}

}  // namespace kdk
