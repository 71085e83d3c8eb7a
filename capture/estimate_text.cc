// What estimate prints, for people and as JSON.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "capture/estimate.h"
#include "core/base/log.h"

namespace kdk {
namespace {

using Json = nlohmann::ordered_json;

double mib(uint64_t bytes) {
  return static_cast<double>(bytes) / (1 << 20);
}

// The bits of a level that leave out a class; "always", "never".
std::string left_out_by(PageClass page_class) {
  if (excluded(page_class, 0)) return "always";
  std::string bits;
  for (unsigned bit : {level_cache, level_cache_private, level_user, level_free}) {
    if (excluded(page_class, bit)) bits += fmt::format("{}{}", bits.empty() ? "" : " or ", bit);
  }
  return bits.empty() ? "never" : bits;
}

}  // namespace

std::string estimate_text(const Estimate& e) {
  std::string text =
      fmt::format("{} {}, {:.1f} MiB of memory in pages of {} KiB",
                  e.release.empty() ? "(unknown release)" : escape_untrusted(e.release),
                  escape_untrusted(e.machine), mib(e.ram_pages * e.page_size), e.page_size / 1024);
  if (e.reserved_pages != 0)
    text +=
        fmt::format("; {:.1f} MiB of the crash kernel are in no dump", mib(e.reserved_pages * e.page_size));
  text += fmt::format("\n\n{:<14}{:>12}{:>12}  left out by\n", "class", "pages", "MiB");
  for (size_t c = 0; c < page_class_count; ++c) {
    if (e.classes[c].found == 0) continue;
    const PageClass page_class = static_cast<PageClass>(c);
    text += fmt::format("{:<14}{:>12}{:>12.1f}  {}\n", to_string(page_class), e.classes[c].found,
                        mib(e.classes[c].found * e.page_size), left_out_by(page_class));
  }
  text += fmt::format("\nexpected dumps: MiB, seconds of one CPU of this machine\n{:<7}{:>12}", "level",
                      "MiB kept");
  for (const Estimate::CodecSize& codec : e.levels.front().codecs)
    text += fmt::format("{:>18}", to_string(codec.codec));
  text += "\n";
  for (const Estimate::Level& level : e.levels) {
    text += fmt::format("{:<7}{:>12.1f}", level.level, mib(level.pages * e.page_size));
    for (const Estimate::CodecSize& codec : level.codecs)
      text += fmt::format("{:>10.1f} {:>5.2f} s", mib(codec.bytes), codec.seconds);
    text += "\n";
  }
  for (const Estimate::Target& target : e.targets) {
    text += fmt::format("\ntarget {}: needs {:.1f} MiB (level {}, {}), ", target.room.target,
                        mib(target.needed), target.level, to_string(target.codec));
    text += target.room.available ? fmt::format("has {:.1f} MiB: {}", mib(*target.room.available),
                                                *target.fits() ? "fits" : "DOES NOT FIT")
                                  : "its room is not known: " + target.room.why_unknown;
  }
  if (!e.targets.empty()) text += "\n";
  return text;
}

std::string estimate_json(const Estimate& e) {
  Json json;
  json["schema"] = {{"id", "kdumpkit/capture-estimate"}, {"version", "1.0.0"}};
  json["tool"] = {{"name", "kdump-capture"}, {"version", KDK_VERSION}};
  json["release"] = e.release.empty() ? Json(nullptr) : Json(escape_untrusted(e.release));
  json["machine"] = e.machine.empty() ? Json(nullptr) : Json(escape_untrusted(e.machine));
  json["page_size_bytes"] = e.page_size;
  json["ram_pages"] = e.ram_pages;
  json["crash_kernel_pages"] = e.reserved_pages;
  json["classes"] = Json::object();
  for (size_t c = 0; c < page_class_count; ++c) {
    json["classes"][std::string(to_string(static_cast<PageClass>(c)))] = {
        {"pages", e.classes[c].found}, {"bytes", e.classes[c].found * e.page_size}};
  }
  json["levels"] = Json::array();
  for (const Estimate::Level& level : e.levels) {
    Json codecs = Json::array();
    for (const Estimate::CodecSize& codec : level.codecs) {
      codecs.push_back({{"codec", to_string(codec.codec)},
                        {"dump_bytes", codec.bytes},
                        {"cpu_ms", static_cast<uint64_t>(codec.seconds * 1000)}});
    }
    json["levels"].push_back({{"level", level.level},
                              {"kept_pages", level.pages},
                              {"kept_bytes", level.pages * e.page_size},
                              {"sampled_pages", level.sampled},
                              {"codecs", codecs}});
  }
  json["targets"] = Json::array();
  for (const Estimate::Target& target : e.targets) {
    json["targets"].push_back(
        {{"target", target.room.target},
         {"level", target.level},
         {"codec", to_string(target.codec)},
         {"needed_bytes", target.needed},
         {"available_bytes", target.room.available ? Json(*target.room.available) : Json(nullptr)},
         {"fits", target.fits() ? Json(*target.fits()) : Json(nullptr)},
         {"why_unknown", target.room.why_unknown.empty() ? Json(nullptr) : Json(target.room.why_unknown)}});
  }
  json["notes"] = Json::array();
  for (const std::string& note : e.notes) json["notes"].push_back(escape_untrusted(note));
  return json.dump(2) + "\n";
}

}  // namespace kdk
