#include "capture/info.h"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <nlohmann/json.hpp>
#include <optional>

#include "capture/filter/kernel_facts.h"
#include "core/base/log.h"
#include "core/formats/eraseinfo.h"
#include "core/kernel/memory.h"

namespace kdk {
namespace {

using Json = nlohmann::ordered_json;

// One fact: a JSON key and value, and the label of the text form. Both forms are printed from the same list.
struct Fact {
  std::string key;
  std::string label;
  Json value;
};

std::string utc(uint64_t seconds) {
  const std::time_t time = static_cast<std::time_t>(seconds);
  std::tm parts{};
  char text[32];
  if (::gmtime_r(&time, &parts) == nullptr) return {};
  return {text, std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts)};
}

Json text_or_null(std::string_view text) {
  return text.empty() ? Json(nullptr) : Json(escape_untrusted(text));
}

template <typename T>
Json number_or_null(const std::optional<T>& value) {
  return value ? Json(*value) : Json(nullptr);
}

std::vector<Fact> facts_of(const Dump& dump) {
  const DumpInfo& info = dump.info();
  const Vmcoreinfo& vmcoreinfo = dump.vmcoreinfo();
  const KernelNames names = read_kernel_names(dump, nullptr);
  uint64_t pages = 0;
  for (const PfnRange& range : dump.ram()) pages += range.count();
  const auto cpu_notes = std::ranges::count_if(
      dump.notes(), [](const Note& note) { return note.type == nt_prstatus && note.name == "CORE"; });
  const uint64_t crash_time = vmcoreinfo.decimal("CRASHTIME").value_or(0);
  std::optional<unsigned> va_bits;
  std::string translation;
  try {
    KernelMemory memory(dump);
    va_bits = memory.layout().va_bits;
  } catch (const Error& e) {
    translation = e.message();
  }
  Json erased = Json::array();
  for (const std::string& line : eraseinfo_lines(dump)) erased.push_back(escape_untrusted(line));
  Json problems = Json::array();
  for (const std::string& problem : dump.problems()) problems.push_back(escape_untrusted(problem));
  return {
      {"file", "file", escape_untrusted(dump.name())},
      {"format", "format", info.format == DumpFormat::elf ? "elf" : "kdump-compressed"},
      {"header_version", "header version",
       info.header_version != 0 ? Json(info.header_version) : Json(nullptr)},
      {"flattened", "flattened", info.flattened},
      {"split_parts", "split parts", info.split_parts},
      {"size_bytes", "size, bytes", info.file_bytes},
      {"incomplete", "incomplete", info.incomplete},
      {"incomplete_reason", "why incomplete", text_or_null(info.incomplete_reason)},
      {"dump_level", "dump level", number_or_null(info.dump_level)},
      {"machine", "machine", text_or_null(names.machine)},
      {"release", "kernel release", text_or_null(names.release)},
      {"build_id", "kernel build-id", text_or_null(vmcoreinfo.value("BUILD-ID").value_or(""))},
      {"crash_time", "crash time", crash_time != 0 ? Json(utc(crash_time)) : Json(nullptr)},
      {"page_size_bytes", "page size, bytes", info.page_size},
      {"va_bits", "address bits", number_or_null(va_bits)},
      {"no_translation", "addresses cannot be translated", text_or_null(translation)},
      {"ram_pages", "memory, pages", pages},
      {"ram_bytes", "memory, bytes", pages * info.page_size},
      {"ram_ranges", "memory ranges", dump.ram().size()},
      {"cpu_notes", "CPU notes", cpu_notes},
      {"vmcoreinfo_bytes", "VMCOREINFO, bytes", vmcoreinfo.text().size()},
      {"vmcoreinfo_source", "VMCOREINFO from", to_string(info.vmcoreinfo_source)},
      {"erased", "erased", erased},
      {"problems", "problems", problems},
  };
}

std::string value_text(const Json& value) {
  if (value.is_boolean()) return value.get<bool>() ? "yes" : "no";
  if (value.is_string()) return value.get<std::string>();
  if (!value.is_array()) return value.dump();
  std::string list;
  for (const Json& item : value) list += (list.empty() ? "" : "; ") + item.get<std::string>();
  return list;
}

}  // namespace

std::string info_text(const Dump& dump) {
  std::string text;
  for (const Fact& fact : facts_of(dump)) {
    const bool nothing = fact.value.is_null() || (fact.value.is_array() && fact.value.empty());
    if (!nothing) text += fmt::format("{:<18} {}\n", fact.label + ":", value_text(fact.value));
  }
  return text;
}

std::string info_json(const Dump& dump) {
  Json json;
  json["schema"] = {{"id", "kdumpkit/capture-info"}, {"version", "1.2.0"}};
  json["tool"] = {{"name", "kdump-capture"}, {"version", KDK_VERSION}};
  for (const Fact& fact : facts_of(dump)) json[fact.key] = fact.value;
  return json.dump(2) + "\n";
}

}  // namespace kdk
