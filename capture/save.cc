#include "capture/save.h"

#include <fmt/format.h>

#include <chrono>
#include <thread>

#include "capture/filter/kernel_facts.h"
#include "capture/summary.h"
#include "core/base/log.h"
#include "core/kernel/printk.h"
#include "core/kernel/vmcoreinfo_search.h"

namespace kdk {
namespace {

// Below this much free memory the output must not fill the page cache.
constexpr uint64_t little_memory = uint64_t{1} << 30;

constexpr const char* cautious_reason = "an earlier try did not survive the look at them";

// For people.
std::string output_names(const CaptureReport& report) {
  if (report.outputs == std::vector<std::string>{"-"}) return "the stream on standard output";
  return fmt::format("{}", fmt::join(report.outputs, ", "));
}

class Capture {
 public:
  Capture(const SaveOptions& options, const std::atomic<bool>& stop)
      : options_(options), stop_(stop), progress_(options.progress) {}

  CaptureReport run() {
    check_target_names(target_options(), options_.inputs, options_.force);
    open_input();
    try {
      read_kernel_log();
      first_report();
      choose_pages();
      write_dump();
    } catch (Error& e) {
      progress_.finish();
      report_.status = CaptureStatus::failed;
      report_.reasons.push_back(e.message());
      save_summary();
      throw;
    }
    progress_.finish();
    report_.status = report_.reasons.empty() ? CaptureStatus::complete : CaptureStatus::partial;
    save_summary();
    return std::move(report_);
  }

 private:
  TargetOptions target_options() const {
    TargetOptions target;
    target.files = options_.split;
    if (target.files.empty()) target.files = {options_.output};
    target.format = options_.format;
    target.dry_run = options_.dry_run;
    return target;
  }

  void open_input() {
    report_.notes = options_.notes;
    report_.level_asked = report_.level_used = options_.level;
    report_.codec = options_.codec;
    report_.codec_level = options_.codec_level;
    report_.threads_asked = options_.threads;
    report_.format = options_.format;
    report_.dry_run = options_.dry_run;
    if (options_.format == OutputFormat::elf) report_.codec = Codec::none;
    for (const std::filesystem::path& input : options_.inputs) report_.inputs.push_back(input.string());
    begin("open", "opening the dump");
    dump_ = open_kernel_dump(options_.inputs, options_.vmcoreinfo);
    report_.input_info = dump_->info();
    if (dump_->info().incomplete) {
      report_.reasons.push_back(fmt::format("the input is incomplete: {}", dump_->info().incomplete_reason));
    }
    for (const std::string& problem : dump_->problems()) report_.notes.push_back(problem);
    if (dump_->ram().empty()) throw Error(Errc::format, fmt::format("{}: holds no memory", dump_->name()));
    // The output has two bits for each; beyond this the input lies about where its memory is.
    constexpr uint64_t most_pfns = uint64_t{1} << 36;
    if (dump_->end_pfn().value > most_pfns) {
      throw Error(Errc::format, fmt::format("{}: memory at page frame {:#x}, beyond any machine",
                                            dump_->name(), dump_->end_pfn().value));
    }
    try {
      kernel_ = std::make_unique<Kernel>(*dump_);
      report_.arch = &kernel_->memory().arch();
    } catch (const Error& e) {
      why_no_kernel_ = e.message();
    }
    const KernelNames names = read_kernel_names(*dump_, kernel_.get());
    report_.machine = names.machine;
    report_.release = names.release;
    header_ = dump_header(*dump_, names);
    end();
  }

  void read_kernel_log() {
    if (!options_.log && !options_.summary && options_.observer == nullptr) return;
    begin("log", "reading the kernel log");
    std::string text;
    if (kernel_) {
      guarded("log", [&] {
        log_ = read_log(kernel_->memory());
        for (const LogRecord& record : log_.records) text += format_record(record) + "\n";
      });
    }
    report_.log_records = log_.records.size();
    for (const std::string& problem : log_.problems) report_.notes.push_back("log: " + problem);
    const bool wanted = options_.log || options_.observer != nullptr;
    if (wanted && log_.records.empty()) {
      report_.reasons.push_back("the kernel log could not be read" + (kernel_ ? "" : ": " + why_no_kernel_));
    }
    if (options_.observer != nullptr) {
      guarded("saving the log", [&] { options_.observer->log_read(text); });
    }
    if (options_.log) {
      guarded("saving the log", [&] {
        write_file_atomic(*options_.log, as_bytes(text), 0600);
        report_.log_file = options_.log->string();
      });
    }
    end();
  }

  void first_report() {
    if (!options_.summary && options_.observer == nullptr) return;
    begin("crash", "looking at the crash");
    report_.why_no_crash = options_.cautious ? cautious_reason : why_no_kernel_;
    if (kernel_ && !options_.cautious) {
      try {
        report_.crash = diagnose(*kernel_, log_);
      } catch (
          const std::exception& e) {  // a report section: whatever it hits, the dump is still to be saved
        report_.why_no_crash = e.what();
      }
    }
    end();
    save_summary();
  }

  void choose_pages() {
    begin("scan", "choosing pages");
    std::string why_not = options_.cautious ? cautious_reason : why_no_kernel_;
    if (kernel_ && !options_.cautious) {
      try {
        filter_pages();
      } catch (const Error& e) {
        why_not = e.message();
        report_.scan.reset();
      }
    }
    if (stop_) throw Error(Errc::io, "interrupted before anything was written");
    if (!report_.scan) {
      report_.scan = keep_everything(dump_->ram());
      report_.level_used = options_.level & level_zero;
      if (report_.level_used != options_.level) {
        report_.why_level = why_not;
        report_.reasons.push_back("pages cannot be told apart, so all are saved: " + why_not);
      } else {
        report_.notes.push_back("poisoned and offline pages cannot be told apart: " + why_not);
      }
    }
    drop_absent_pages();
    end();
  }

  // Fills report_.scan. Throws when struct pages cannot be used.
  void filter_pages() {
    KernelMemory& memory = kernel_->memory();
    const PageMarkers markers = read_page_markers(kernel_->vmcoreinfo());
    MemMap map(memory, markers);
    report_.memory_model = map.model();
    report_.pins = find_pins(*kernel_, map, markers);
    ScanRequest request;
    request.level = options_.level;
    request.pinned = &report_.pins->ranges;
    request.stop = &stop_;
    request.progress = [this](uint64_t done, uint64_t total) { show_progress(done, total, 0); };
    report_.scan = scan_pages(memory, map, markers, dump_->ram(), request);
    if (!report_.scan->complete) return;
    report_.free_check = check_free_pages(*kernel_, map, markers, *report_.scan);
    const FreeCheck& check = *report_.free_check;
    if (check.result == FreeCheck::Result::more_found && (options_.level & level_free) != 0) {
      report_.level_used = request.level = options_.level & ~unsigned{level_free};
      report_.why_level = check.detail;
      report_.reasons.push_back(
          fmt::format("free pages are saved too, because the marks are not to be trusted: {}", check.detail));
      report_.scan = scan_pages(memory, map, markers, dump_->ram(), request);
    } else if (check.result == FreeCheck::Result::fewer_found) {
      report_.notes.push_back("the dump may be larger than it need be: " + check.detail);
    }
    // Looking at them costs time that only pays when they go.
    if ((report_.level_used & level_free) != 0) {
      report_.cpu_lists = find_cpu_lists(*kernel_, map, markers, *report_.scan);
      exclude_cpu_lists(*report_.cpu_lists, report_.level_used, report_.pins->ranges, *report_.scan);
      if (!report_.cpu_lists->problem.empty()) {
        report_.notes.push_back(fmt::format("{}free pages on lists of CPUs are kept: {}",
                                            report_.cpu_lists->pages == 0 ? "" : "some ",
                                            report_.cpu_lists->problem));
      }
    }
    note_contradictions(*report_.scan);
  }

  void note_contradictions(const Scan& scan) {
    if (scan.pinned_conflicts != 0) {
      report_.notes.push_back(
          fmt::format("{} pages in use by the kernel are marked as if they could go; they are kept",
                      scan.pinned_conflicts));
    }
    const uint64_t odd = scan.bad_orders + scan.broken_compounds;
    if (odd != 0)
      report_.notes.push_back(
          fmt::format("{} struct pages contradict themselves; their pages are kept", odd));
    const uint64_t unknown = scan.of(PageClass::unknown).found;
    if (unknown != 0) {
      report_.notes.push_back(fmt::format("{} pages have no readable struct page; they are kept", unknown));
    }
  }

  // Pages that the input itself leaves out get no descriptor.
  void drop_absent_pages() {
    Scan& scan = *report_.scan;
    for (const PfnRange& range : dump_->ram()) {
      for (Pfn pfn = range.begin; pfn < range.end; pfn = pfn + 1) {
        if (!scan.keep.test(pfn)) continue;
        const PageState state = dump_->state(pfn);
        if (state == PageState::present || state == PageState::unreadable) continue;
        scan.keep.clear(pfn);
        ++report_.excluded_before;
      }
    }
    report_.pages_to_write = scan.keep.count();
  }

  void write_dump() {
    TargetOptions target_is = target_options();
    begin("dump", fmt::format("{} {} of {} pages to {}", options_.dry_run ? "would save" : "saving",
                              report_.pages_to_write, report_.scan->ram_pages,
                              options_.output_name.empty() ? target_is.files.front().string()
                                                           : options_.output_name));
    header_.dump_level = static_cast<int>(report_.level_used);
    header_.codec_hint = codec_flag(report_.codec);
    const std::optional<uint64_t> available = available_memory();
    target_is.drop_page_cache =
        options_.inputs.front() == "/proc/vmcore" || available.value_or(little_memory) < little_memory;
    const ElfCoreHeader elf = elf_header(*dump_, kernel_.get());
    Target target(target_is, {header_, elf, dump_->ram(), report_.scan->keep});

    const Budget budget = plan_budget(options_.threads, std::thread::hardware_concurrency(), available);
    PipelineOptions pipeline;
    pipeline.codec = report_.codec;
    pipeline.codec_level = options_.codec_level;
    // Compressed again, pages would come out the same, unless another level is asked for.
    if (target.sink().compressed() && options_.codec_level == 0)
      pipeline.reuse = PipelineOptions::Reuse::same_codec;
    pipeline.threads = budget.threads;
    pipeline.unit_bytes = budget.unit_bytes;
    pipeline.stop = &stop_;
    report_.pipeline = run_pipeline(
        *dump_, report_.scan->keep, target.sink(), pipeline,
        [this](const PipelineProgress& p) { show_progress(p.pages_done, p.pages_total, p.bytes_written); });
    end();
    begin("sync", options_.dry_run ? "adding up" : "waiting for the disk");
    const PipelineResult& result = *report_.pipeline;
    if (result.failure || result.stopped) {
      keep_incomplete(target, result.failure ? result.failure->message() : "interrupted");
    } else {
      finish(target);
    }
    end();
  }

  void finish(Target& target) {
    const PipelineResult& result = *report_.pipeline;
    try {
      target.commit(result.read_errors == 0);
    } catch (const Error& e) {
      keep_incomplete(target, e.message());
      return;
    }
    report_.outputs = target.names();
    report_.output_bytes = target.size();
    if (result.read_errors != 0) {
      report_.reasons.push_back(
          fmt::format("{} pages could not be read and are missing from the dump", result.read_errors));
    }
    note_left_out(target);
  }

  // What is written stands: nothing in the file points to data that is not there, and it says INCOMPLETE.
  void keep_incomplete(Target& target, const std::string& why) {
    PipelineResult& result = *report_.pipeline;
    if (result.pages_written == result.zero_pages)
      throw Error(Errc::io, "nothing was saved: " + why);  // the files go away
    std::string problem;
    target.keep_incomplete(problem);
    if (!problem.empty()) report_.reasons.push_back("marking the incomplete dump: " + problem);
    report_.outputs = target.names();
    report_.output_bytes = target.size();
    note_left_out(target);
    report_.reasons.push_back(fmt::format("the dump is incomplete ({} of {} pages) and kept as {}: {}",
                                          result.pages_written, report_.pages_to_write, output_names(report_),
                                          why));
  }

  void note_left_out(Target& target) {
    const uint64_t pages = target.sink().left_out();
    if (pages == 0) return;
    report_.pipeline->pages_written -= pages;
    report_.reasons.push_back(fmt::format("{} pages were read, but the file has no place for them", pages));
  }

  // Runs a step that must not stop the capture; its failure becomes a reason.
  template <typename F>
  void guarded(std::string_view what, F&& step) {
    try {
      step();
    } catch (const std::exception& e) {
      report_.reasons.push_back(fmt::format("{}: {}", what, e.what()));
    }
  }

  void save_summary() {
    if (options_.observer != nullptr) {
      guarded("saving the summary", [&] { options_.observer->reported(report_); });
    }
    if (options_.summary) {
      guarded("saving the summary", [&] { write_summary(*options_.summary, report_); });
    }
  }

  void show_progress(uint64_t done, uint64_t total, uint64_t bytes) {
    progress_.update(done, total, bytes);
    if (options_.observer != nullptr) options_.observer->progress(done, total, bytes);
  }

  void begin(std::string_view name, std::string_view what) {
    report_.stages.push_back({std::string(name), 0});
    stage_start_ = std::chrono::steady_clock::now();
    progress_.stage(name, what);
    if (options_.observer != nullptr) options_.observer->stage(name);
  }
  void end() {
    const auto spent = std::chrono::steady_clock::now() - stage_start_;
    report_.stages.back().milliseconds =
        static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(spent).count());
  }

  const SaveOptions& options_;
  const std::atomic<bool>& stop_;
  Progress progress_;
  CaptureReport report_;
  std::unique_ptr<Dump> dump_;
  std::unique_ptr<Kernel> kernel_;
  std::string why_no_kernel_;
  KdumpHeader header_;
  KernelLog log_;
  std::chrono::steady_clock::time_point stage_start_;
};

}  // namespace

CaptureReport save_dump(const SaveOptions& options, const std::atomic<bool>& stop) {
  return Capture(options, stop).run();
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
    text += fmt::format("zero pages among the kept: {}; equal to another: {}; stored uncompressed: {}; page data: {} bytes\n",
                        report.pipeline->zero_pages, report.pipeline->shared_pages, report.pipeline->raw_pages, report.pipeline->data_bytes);
  }
  return text;
}

}  // namespace kdk
