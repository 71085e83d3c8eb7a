#include "capture/save.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <iterator>
#include <thread>

#include "capture/crypt/seal.h"
#include "capture/filter/choose.h"
#include "capture/filter/kernel_facts.h"
#include "capture/summary.h"
#include "core/base/log.h"
#include "core/formats/eraseinfo.h"
#include "core/kernel/printk.h"
#include "core/kernel/vmcoreinfo_search.h"

namespace kdk {
namespace {

// Below this much free memory the output must not fill the page cache.
constexpr uint64_t little_memory = uint64_t{1} << 30;

// Levels to try one after the other. What leaves out nothing that an earlier one does not cannot fit if that
// did not.
std::vector<unsigned> levels_to_try(const SaveOptions& options, std::vector<std::string>& notes) {
  const auto bits = [](unsigned level) {
    return (level & level_cache_private) != 0 ? level | level_cache : level;
  };
  std::vector<unsigned> levels{options.level};
  for (unsigned level : options.fallback_levels) {
    const auto larger =
        std::ranges::find_if(levels, [&](unsigned earlier) { return (bits(level) & ~bits(earlier)) == 0; });
    if (larger == levels.end()) {
      levels.push_back(level);
    } else {
      notes.push_back(
          fmt::format("level {} will not be tried: it leaves out no more than level {}", level, *larger));
    }
  }
  return levels;
}

constexpr const char* cautious_reason = "an earlier try did not survive";

class Capture {
 public:
  Capture(const SaveOptions& options, const std::atomic<bool>& stop)
      : options_(options), stop_(stop), progress_(options.progress) {}

  CaptureReport run() {
    if (options_.encrypt_to) {
      key_ = read_public_key(*options_.encrypt_to);
      if (options_.format != OutputFormat::flattened)
        throw Error(Errc::unsupported, "only a flattened stream can be sealed").with_hint("--format flat");
    }
    check_target_names(target_options(), options_.inputs, options_.force);
    open_input();
    try {
      read_kernel_log();
      first_report();
      find_what_to_erase();
      save_pages();
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
    if (!report_.reasons.empty())
      report_.status = CaptureStatus::partial;  // that summary may not have got there
    return std::move(report_);
  }

 private:
  TargetOptions target_options() const {
    TargetOptions target;
    target.files = options_.split;
    if (target.files.empty()) target.files = {options_.output};
    target.format = options_.format;
    target.dry_run = options_.dry_run;
    target.max_bytes = options_.max_size;
    if (key_) target.filter = seal_stream(*key_);
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
    report_.sealed = key_.has_value();
    if (options_.format == OutputFormat::elf) report_.codec = Codec::none;
    for (const std::filesystem::path& input : options_.inputs) report_.inputs.push_back(input.string());
    begin("open", "opening the dump");
    dump_ = open_kernel_dump(options_.inputs, options_.vmcoreinfo);
    report_.input_info = dump_->info();
    progress_.set_page_size(dump_->info().page_size);
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
        if (key_) {
          write_file_atomic(*options_.log, seal_file(*key_, as_bytes(text)), 0600);
        } else {
          write_file_atomic(*options_.log, as_bytes(text), 0600);
        }
        report_.log_file = options_.log->string();
      });
    }
    end();
  }

  void first_report() {
    if (!options_.summary && options_.observer == nullptr) return;
    begin("crash", "looking at the crash");
    report_.why_no_crash = options_.no_diagnosis ? cautious_reason : why_no_kernel_;
    if (kernel_ && !options_.no_diagnosis) {
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

  // The rules hold in a cautious try, too: a dump with what was to be erased is worse than none.
  void find_what_to_erase() {
    if (options_.scrub) {
      begin("scrub", "finding what to erase");
      const ScrubRules rules = read_scrub_rules(*options_.scrub);
      Erasure& erasure = erasure_.emplace(dump_->info().page_size);
      report_.scrub = find_erasure(rules, *dump_, kernel_.get(), why_no_kernel_, erasure, stop_);
      if (stop_) throw Error(Errc::io, "interrupted before anything was written");
      judge_scrub();
      const std::string erased = report_.scrub->eraseinfo();
      if (!erased.empty()) notes_ = notes_with_eraseinfo(dump_->raw_notes(), eraseinfo(*dump_) + erased);
      scrubbed_ = scrubbed_dump(*dump_, *erasure_);
      if (kernel_ && !erasure_->empty()) {
        Kernel scrubbed(*scrubbed_);
        take_erased_names(header_, *kernel_, scrubbed);
      }
      end();
    }
    if (!notes_.empty()) header_.notes = notes_;
  }

  void judge_scrub() {
    bool failed = false;
    for (const ScrubbedRule& rule : report_.scrub->rules) {
      if (rule.problem.empty()) continue;
      failed |= !rule.optional;
      (rule.optional ? report_.notes : report_.reasons)
          .push_back(fmt::format("scrub: {}: {}", rule.name, rule.problem));
    }
    if (!failed) return;
    if (options_.scrub_strict) {
      throw Error(Errc::missing, "no dump is written, because not all that is to be erased was found")
          .with_hint("without --scrub-strict the dump is written, and the summary says what is still in it");
    }
    report_.reasons.emplace_back("not all that is to be erased was found: the dump may still hold it");
  }

  // Of the pages that this level keeps.
  void count_erased() {
    if (!report_.scrub) return;
    Scrub& scrub = *report_.scrub;
    scrub.erased_pages = scrub.erased_bytes = 0;
    for (const auto& [pfn, pieces] : erasure_->pages()) {
      if (!report_.scan->keep.test(pfn)) continue;
      ++scrub.erased_pages;
      scrub.erased_bytes += erasure_->bytes_of(pieces);
    }
  }

  // With the first level at which the dump fits, else what of it fits with the last.
  void save_pages() {
    const std::vector<unsigned> levels = levels_to_try(options_, report_.notes);
    const std::vector<std::string> reasons = report_.reasons, notes = report_.notes;
    std::string history;
    for (size_t i = 0; i < levels.size(); ++i) {
      report_.reasons = reasons;
      report_.notes = notes;
      if (!history.empty()) report_.notes.push_back(history);
      level_ = report_.level_used = levels[i];
      report_.why_level = history;
      choose_pages();
      count_erased();
      const std::optional<std::string> too_large = write_dump(i + 1 == levels.size());
      if (!too_large) return;
      history +=
          fmt::format("{}level {} does not fit: {}", history.empty() ? "" : "; ", levels[i], *too_large);
      log_warning("level {} does not fit ({}): starting again with level {}", levels[i], *too_large,
                  levels[i + 1]);
    }
  }

  void choose_pages() {
    begin("scan", "choosing pages");
    ChooseRequest request;
    request.level = level_;
    request.stop = &stop_;
    request.progress = [this](uint64_t done, uint64_t total) { show_progress(done, total, 0); };
    request.why_not = options_.all_pages ? cautious_reason : why_no_kernel_;
    PageChoice choice = kdk::choose_pages(*dump_, options_.all_pages ? nullptr : kernel_.get(), request);
    if (stop_) throw Error(Errc::io, "interrupted before anything was written");
    std::ranges::move(choice.reasons, std::back_inserter(report_.reasons));
    std::ranges::move(choice.notes, std::back_inserter(report_.notes));
    report_.unmarked = choice.unmarked;
    report_.level_used = choice.level;
    if (!choice.why_level.empty())
      report_.why_level += (report_.why_level.empty() ? "" : "; ") + choice.why_level;
    report_.scan = std::move(choice.scan);
    report_.memory_model = std::move(choice.memory_model);
    report_.pins = std::move(choice.pins);
    report_.free_check = std::move(choice.free_check);
    report_.cpu_lists = std::move(choice.cpu_lists);
    report_.excluded_before = choice.excluded_before;
    report_.pages_to_write = report_.scan->keep.count();
    // In an ELF file every page has its place: where files may not become larger, another order saves less.
    if (options_.format != OutputFormat::elf) order_ = std::move(choice.order);
    end();
  }

  // Says why the dump does not fit, unless this is the `last` level to be tried; then nothing of it is left.
  std::optional<std::string> write_dump(bool last) {
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
    ElfCoreHeader elf = elf_header(*dump_, kernel_.get());
    elf.notes = header_.notes;
    // Types and symbols have said all that they can; workers and page cache need the room.
    if (last) kernel_.reset();
    std::optional<Target> made;
    try {
      made.emplace(target_is, TargetContent{header_, elf, dump_->ram(), report_.scan->keep});
    } catch (const Error& e) {
      if (last || !says_full(e)) throw;
      return e.message();
    }
    Target& target = *made;

    const Budget budget = plan_budget(options_.threads, std::thread::hardware_concurrency(), available);
    PipelineOptions pipeline;
    pipeline.codec = report_.codec;
    pipeline.codec_level = options_.codec_level;
    // Compressed again, pages would come out the same, unless another level is asked for.
    if (target.sink().compressed() && options_.codec_level == 0)
      pipeline.reuse = PipelineOptions::Reuse::same_codec;
    pipeline.threads = budget.threads;
    pipeline.unit_bytes = budget.unit_bytes;
    if (order_) pipeline.order = &*order_;
    pipeline.stop = &stop_;
    report_.pipeline = run_pipeline(
        scrubbed_ ? *scrubbed_ : *dump_, report_.scan->keep, target.sink(), pipeline,
        [this](const PipelineProgress& p) { show_progress(p.pages_done, p.pages_total, p.bytes_written); });
    end();
    begin("sync", options_.dry_run ? "adding up" : "waiting for the disk");
    const PipelineResult& result = *report_.pipeline;
    std::optional<Error> failure = result.failure;
    if (!failure && !result.stopped) failure = commit(target);
    end();
    if (failure && !last && !target.streams() && says_full(*failure)) return failure->message();
    if (failure || result.stopped) keep_incomplete(target, failure ? failure->message() : "interrupted");
    return std::nullopt;
  }

  std::optional<Error> commit(Target& target) {
    const PipelineResult& result = *report_.pipeline;
    try {
      target.commit(result.read_errors == 0);
    } catch (const Error& e) {
      return e;
    }
    report_.outputs = target.names();
    report_.output_bytes = target.size();
    if (!target.doubt().empty()) report_.reasons.push_back(target.doubt());
    if (result.read_errors != 0) {
      report_.reasons.push_back(
          fmt::format("{} pages could not be read and are missing from the dump", result.read_errors));
    }
    note_left_out(target);
    return std::nullopt;
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
    report_.reasons.push_back(fmt::format("the dump is incomplete ({} of {} pages) and kept as {}: {}{}",
                                          result.pages_written, report_.pages_to_write, output_names(report_),
                                          why, order_ ? "; " + describe_cut(result) : ""));
  }

  // What is most needed was written first.
  static std::string describe_cut(const PipelineResult& result) {
    std::string whole, cut;
    for (const PipelineResult::Group& group : result.groups) {
      std::string& list = group.written == group.pages ? whole : cut;
      list += (list.empty() ? "" : ", ") + group.name;
      if (group.written != group.pages) list += fmt::format(" ({} of {} pages)", group.written, group.pages);
    }
    return fmt::format("whole in it: {}; cut: {}", whole.empty() ? "nothing" : whole,
                       cut.empty() ? "nothing" : cut);
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
      guarded("saving the summary", [&] {
        if (key_) {
          write_file_atomic(*options_.summary, seal_file(*key_, as_bytes(summary_json(report_))));
        } else {
          write_summary(*options_.summary, report_);
        }
      });
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
  unsigned level_ = 0;  // that is being tried
  std::optional<PageOrder> order_;
  KdumpHeader header_;
  std::optional<PublicKey> key_;
  std::optional<Erasure> erasure_;
  std::unique_ptr<Dump> scrubbed_;  // dump_ without what erasure_ names
  std::vector<uint8_t> notes_;      // of the output, when they are not the input's
  KernelLog log_;
  std::chrono::steady_clock::time_point stage_start_;
};

}  // namespace

CaptureReport save_dump(const SaveOptions& options, const std::atomic<bool>& stop) {
  return Capture(options, stop).run();
}

}  // namespace kdk
