// What save says at its end.
#include <fmt/format.h>

#include "capture/save.h"

namespace kdk {

std::string output_names(const CaptureReport& report) {
  if (report.outputs == std::vector<std::string>{"-"}) return "the stream on standard output";
  return fmt::format("{}", fmt::join(report.outputs, ", "));
}

std::string report_text(const CaptureReport& report) {
  if (!report.pipeline || !report.scan) return {};
  const PipelineResult& result = *report.pipeline;
  uint64_t milliseconds = 0;
  for (const CaptureReport::Stage& stage : report.stages) milliseconds += stage.milliseconds;
  std::string text =
      fmt::format("{}: {:.1f} MiB, {} of {} pages, level {}, {}, {} thread{}, {:.2f} s\n",
                  report.dry_run ? "would write" : output_names(report),
                  static_cast<double>(report.output_bytes) / (1 << 20), result.pages_written,
                  report.scan->ram_pages, report.level_used, to_string(report.codec), result.threads,
                  result.threads == 1 ? "" : "s", static_cast<double>(milliseconds) / 1000);
  std::string left_out;
  for (size_t c = 0; c < page_class_count; ++c) {
    const uint64_t pages = report.scan->classes[c].excluded;
    if (pages == 0) continue;
    left_out +=
        fmt::format("{}{} {}", left_out.empty() ? "" : ", ", to_string(static_cast<PageClass>(c)), pages);
  }
  if (report.excluded_before != 0) {
    left_out += fmt::format("{}by the input {}", left_out.empty() ? "" : ", ", report.excluded_before);
  }
  if (!left_out.empty()) text += fmt::format("left out (pages): {}\n", left_out);
  if (!report.unmarked.empty())
    text += fmt::format("kept, because this kernel does not mark them, if there are any: {}\n", report.unmarked);
  if (report.scrub) {
    text +=
        fmt::format("erased: {} bytes on {} pages\n", report.scrub->erased_bytes, report.scrub->erased_pages);
  }
  if (report.free_check) {
    const FreeCheck& check = *report.free_check;
    text += fmt::format(
        "free pages: {} found, {}\n", check.found,
        check.zones == 0 ? "not checked" : fmt::format("{} counted by the kernel", check.kernel_count));
  }
  return text;
}

std::string stats_text(const CaptureReport& report) {
  if (!report.scan) return {};
  std::string text = fmt::format("{:<14}{:>12}{:>12}{:>12}\n", "pages", "found", "left out", "kept");
  const auto add = [&](std::string_view name, uint64_t found, uint64_t excluded) {
    text += fmt::format("{:<14}{:>12}{:>12}{:>12}\n", name, found, excluded, found - excluded);
  };
  uint64_t excluded = report.excluded_before;
  for (size_t c = 0; c < page_class_count; ++c) {
    const ClassCounts& counts = report.scan->classes[c];
    excluded += counts.excluded;
    if (counts.found != 0) add(to_string(static_cast<PageClass>(c)), counts.found, counts.excluded);
  }
  if (report.excluded_before != 0) {
    text += fmt::format("{:<14}{:>12}{:>12}\n", "by the input", "", report.excluded_before);
  }
  add("all", report.scan->ram_pages, excluded);
  if (report.pipeline) {
    text += fmt::format(
        "zero pages among the kept: {}; equal to another: {}; stored uncompressed: {}; page data: {} bytes\n",
        report.pipeline->zero_pages, report.pipeline->shared_pages, report.pipeline->raw_pages,
        report.pipeline->data_bytes);
  }
  return text;
}

}  // namespace kdk
