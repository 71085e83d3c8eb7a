#include "capture/summary.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <nlohmann/json.hpp>

#include "core/base/file.h"
#include "core/base/log.h"

namespace kdk {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t spare_bytes = 16 << 10;

std::string clean(std::string_view text) {
  return escape_untrusted(text);
}

Json or_null(const std::string& text) {
  return text.empty() ? Json(nullptr) : Json(clean(text));
}

Json strings(const std::vector<std::string>& texts) {
  Json list = Json::array();
  for (const std::string& text : texts) list.push_back(clean(text));
  return list;
}

Json pfns(const std::vector<Pfn>& list) {
  Json out = Json::array();
  for (Pfn pfn : list) out.push_back(hex64(pfn.value));
  return out;
}

Json input_json(const CaptureReport& r) {
  const DumpInfo& info = r.input_info;
  return {{"files", strings(r.inputs)},
          {"format", info.format == DumpFormat::elf ? "elf" : "kdump-compressed"},
          {"flattened", info.flattened},
          {"page_size_bytes", info.page_size},
          {"machine", or_null(r.machine)},
          {"release", or_null(r.release)},
          {"incomplete", info.incomplete},
          {"incomplete_reason", or_null(info.incomplete_reason)}};
}

std::string_view format_name(OutputFormat format) {
  return format == OutputFormat::elf ? "elf" : "kdump-compressed";
}

Json output_json(const CaptureReport& r) {
  const bool done = !r.outputs.empty() || (r.dry_run && r.pipeline);
  return {{"file", r.outputs.empty() ? Json(nullptr) : Json(clean(r.outputs.front()))},
          {"files", strings(r.outputs)},
          {"format", format_name(r.format)},
          {"flattened", r.format == OutputFormat::flattened},
          {"sealed", r.sealed},
          {"dry_run", r.dry_run},
          {"size_bytes", done ? Json(r.output_bytes) : Json(nullptr)},
          {"codec", to_string(r.codec)},
          {"codec_level", r.codec_level == 0 ? Json(nullptr) : Json(r.codec_level)},
          {"threads", r.pipeline ? Json(r.pipeline->threads) : Json(nullptr)}};
}

Json filter_json(const CaptureReport& r) {
  Json classes = Json::object();
  Json json = {{"level_asked", r.level_asked},
               {"level_used", r.level_used},
               {"why_level", or_null(r.why_level)},
               {"memory_model", or_null(r.memory_model)}};
  if (!r.scan) {
    json["classes"] = nullptr;
    return json;
  }
  const uint64_t page_size = r.input_info.page_size;
  for (size_t c = 0; c < page_class_count; ++c) {
    const ClassCounts& counts = r.scan->classes[c];
    classes[std::string(to_string(static_cast<PageClass>(c)))] = {
        {"found_pages", counts.found},
        {"found_bytes", counts.found * page_size},
        {"excluded_pages", counts.excluded},
        {"excluded_bytes", counts.excluded * page_size}};
  }
  json["classes"] = classes;
  json["ram_pages"] = r.scan->ram_pages;
  json["ram_bytes"] = r.scan->ram_pages * page_size;
  json["excluded_by_input_pages"] = r.excluded_before;
  json["kept_pages"] = r.pages_to_write;
  return json;
}

Json checks_json(const CaptureReport& r) {
  Json json = {{"free_pages", nullptr}, {"pins", nullptr}, {"memory_map", nullptr}};
  if (r.free_check) {
    const FreeCheck& check = *r.free_check;
    const bool counted = check.zones != 0;
    json["free_pages"] = {{"result", to_string(check.result)},
                          {"found_pages", check.found},
                          {"kernel_count_pages", counted ? Json(check.kernel_count) : Json(nullptr)},
                          {"tolerance_pages", counted ? Json(check.tolerance) : Json(nullptr)},
                          {"zones", check.zones},
                          {"zones_source", or_null(check.zones_source)},
                          {"detail", or_null(check.detail)}};
  }
  if (r.pins) {
    Json kinds = Json::array();
    for (const PinKind& kind : r.pins->kinds) {
      kinds.push_back({{"name", kind.name}, {"pages", kind.pages}, {"problem", or_null(kind.problem)}});
    }
    json["pins"] = {{"kinds", kinds},
                    {"conflict_pages", r.scan ? r.scan->pinned_conflicts : 0},
                    {"conflict_examples", r.scan ? pfns(r.scan->conflict_examples) : Json::array()}};
  }
  if (r.scan) {
    json["memory_map"] = {{"bad_orders", r.scan->bad_orders},
                          {"broken_compounds", r.scan->broken_compounds},
                          {"orphan_tails", r.scan->orphan_tails}};
  }
  return json;
}

Json scrub_json(const CaptureReport& r) {
  if (!r.scrub) return nullptr;
  Json rules = Json::array();
  for (const ScrubbedRule& rule : r.scrub->rules) {
    rules.push_back({{"name", clean(rule.name)},
                     {"optional", rule.optional},
                     {"places", rule.places},
                     {"bytes", rule.bytes},
                     {"absent_bytes", rule.absent_bytes},
                     {"nullified", rule.nullified},
                     {"problem", or_null(rule.problem)}});
  }
  return {{"file", clean(r.scrub->file)},
          {"erased_pages", r.scrub->erased_pages},
          {"erased_bytes", r.scrub->erased_bytes},
          {"rules", rules}};
}

Json pages_json(const CaptureReport& r) {
  if (!r.pipeline) return nullptr;
  const PipelineResult& p = *r.pipeline;
  Json order = Json::array();
  for (const PipelineResult::Group& group : p.groups) {
    order.push_back({{"name", group.name}, {"pages", group.pages}, {"written_pages", group.written}});
  }
  return {{"written_pages", p.pages_written},
          {"zero_pages", p.zero_pages},
          {"shared_pages", p.shared_pages},
          {"raw_pages", p.raw_pages},
          {"data_bytes", p.data_bytes},
          {"read_errors", p.read_errors},
          {"read_error_examples", pfns(p.error_examples)},
          {"order", order}};
}

}  // namespace

std::string_view to_string(CaptureStatus status) {
  switch (status) {
    case CaptureStatus::running:
      return "running";
    case CaptureStatus::complete:
      return "complete";
    case CaptureStatus::partial:
      return "partial";
    case CaptureStatus::failed:
      return "failed";
  }
  return "failed";
}

std::string summary_json(const CaptureReport& r) {
  Json json;
  json["schema"] = {{"id", "kdumpkit/capture-summary"}, {"version", "1.3.0"}};
  json["tool"] = {{"name", "kdump-capture"}, {"version", KDK_VERSION}};
  json["status"] = to_string(r.status);
  json["reasons"] = strings(r.reasons);
  json["notes"] = strings(r.notes);
  json["input"] = input_json(r);
  json["output"] = output_json(r);
  json["log"] = {{"file", or_null(r.log_file)}, {"records", r.log_records}};
  json["filter"] = filter_json(r);
  json["self_checks"] = checks_json(r);
  json["scrub"] = scrub_json(r);
  json["pages"] = pages_json(r);
  json["stages"] = Json::array();
  for (const CaptureReport::Stage& stage : r.stages) {
    json["stages"].push_back({{"name", stage.name}, {"duration_ms", stage.milliseconds}});
  }
  json["crash"] = r.crash && r.arch != nullptr ? to_json(*r.crash, *r.arch) : Json(nullptr);
  json["why_no_crash"] = or_null(r.why_no_crash);
  return json.dump(2) + "\n";
}

void write_summary(const std::filesystem::path& path, const CaptureReport& report) {
  std::string text = summary_json(report);
  // While the dump is running, the file is made larger than need be: if the dump then fills the disk, there
  // is still room to say so.
  if (report.status == CaptureStatus::running) text.append(spare_bytes, '\n');
  with_context("summary", [&] {
    try {
      write_file_atomic(path, as_bytes(text));
    } catch (const Error&) {
      // No room for a second file: overwrite the first in place, if there is one.
      std::error_code error;
      if (!std::filesystem::is_regular_file(path, error)) throw;
      const Fd fd = Fd::open(path, O_WRONLY);
      write_at(fd, 0, as_bytes(text), path.string());
      if (::ftruncate(fd.get(), static_cast<off_t>(text.size())) != 0)
        throw error_from_errno(errno, path.string());
    }
  });
}

}  // namespace kdk
