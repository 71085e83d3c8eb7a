// `kdump-capture save`: log first, then the first report, then the dump, so that whatever goes wrong later,
// the most telling part is already safe. Every step that can fail has a next best thing; only "nothing could
// be written" fails.
#pragma once

#include <atomic>
#include <filesystem>
#include <optional>
#include <vector>

#include "capture/filter/filter.h"
#include "capture/output/target.h"
#include "capture/progress.h"
#include "capture/report.h"
#include "core/formats/codec.h"

namespace kdk {

// Is told how a capture goes on, by the thread that called save_dump().
class SaveObserver {
 public:
  virtual ~SaveObserver() = default;
  virtual void stage(std::string_view) {}
  // Pages done of the stage's total, bytes written so far.
  virtual void progress(uint64_t, uint64_t, uint64_t) {}
  // The whole kernel log as text, before the dump. What this and reported() throw becomes a reason of the
  // report; the capture goes on.
  virtual void log_read(const std::string&) {}
  // The first report, before the dump, and the last one.
  virtual void reported(const CaptureReport&) {}
};

struct SaveOptions {
  std::vector<std::filesystem::path> inputs;  // several: the parts of one split dump
  std::filesystem::path output;               // "-": standard output, as a flattened stream
  std::vector<std::filesystem::path> split;   // the files of a split set, instead of `output`
  OutputFormat format = OutputFormat::kdump;
  unsigned level = level_all;
  std::vector<unsigned> fallback_levels = {};  // one after the other, when the dump does not fit
  uint64_t max_size = 0;                       // of each output file, bytes; 0: no limit
  Codec codec = Codec::zstd;
  int codec_level = 0;   // 0: the codec's default
  unsigned threads = 0;  // 0: as many as CPUs, at most 8
  std::optional<std::filesystem::path> summary;
  std::optional<std::filesystem::path> log;
  ProgressMode progress = ProgressMode::automatic;
  // A file with a public key: dump, log and summary are sealed to it. The dump is a flattened stream then.
  std::optional<std::filesystem::path> encrypt_to = {};
  // What is to be erased from the dump: a file of rules. `scrub_strict`: no dump unless all of it is found.
  std::optional<std::filesystem::path> scrub = {};
  bool scrub_strict = false;
  bool force = false;                                    // replace an existing OUTPUT
  bool dry_run = false;                                  // do everything but write the dump
  std::optional<std::filesystem::path> vmcoreinfo = {};  // a file to use for the dump's VMCOREINFO
  // After a try that came to grief in the dump's data.
  bool no_diagnosis = false;  // of the crash
  bool all_pages = false;     // no look at struct pages: whatever the level, all is saved
  SaveObserver* observer = nullptr;
  std::string output_name = {};         // for people, instead of `output`; empty: that
  std::vector<std::string> notes = {};  // what happened before, for the summary
};

// Returns what was done; status complete or partial (then the reasons say why). Throws Error when no dump
// could be written at all; the summary file, if asked for, then says so too. `stop`: set to end early (a
// signal).
CaptureReport save_dump(const SaveOptions& options, const std::atomic<bool>& stop);

// Where the dump is, for people.
std::string output_names(const CaptureReport& report);

// What save prints on stdout at the end.
std::string report_text(const CaptureReport& report);

// The table of --show-stats: pages of every class, found, left out and kept.
std::string stats_text(const CaptureReport& report);

}  // namespace kdk
