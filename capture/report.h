// What a capture did, as plain data: filled by save.cc step by step, written as JSON by summary.cc.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "capture/filter/cpu_lists.h"
#include "capture/filter/free_check.h"
#include "capture/filter/pins.h"
#include "capture/filter/scan.h"
#include "capture/output/pipeline.h"
#include "capture/output/target.h"
#include "capture/scrub/scrub.h"
#include "core/diagnose/crash.h"
#include "core/formats/dump.h"

namespace kdk {

enum class CaptureStatus { running, complete, partial, failed };
std::string_view to_string(CaptureStatus status);

struct CaptureReport {
  CaptureStatus status = CaptureStatus::running;
  std::vector<std::string> reasons;  // why it is partial or failed; sentences
  std::vector<std::string> notes;    // worth knowing, changes nothing

  std::vector<std::string> inputs;
  DumpInfo input_info;
  std::string machine, release;  // of the crashed kernel; empty when unknown

  std::vector<std::string> outputs;  // where the dump is now; several: a split set; empty: there is none
  uint64_t output_bytes = 0;         // of all files; of a dry run: as they would be
  OutputFormat format = OutputFormat::kdump;
  bool dry_run = false;
  bool sealed = false;   // to a public key, with log and summary
  std::string log_file;  // empty: not asked for
  size_t log_records = 0;

  unsigned level_asked = 0, level_used = 0;
  std::string why_level;  // why they differ
  std::string unmarked;   // page classes that this kernel does not mark, and that are kept
  Codec codec = Codec::zstd;
  int codec_level = 0;
  unsigned threads_asked = 0;  // 0: chosen here

  std::optional<Scan> scan;
  std::string memory_model;
  std::optional<Pins> pins;
  std::optional<FreeCheck> free_check;
  std::optional<CpuLists> cpu_lists;
  std::optional<Scrub> scrub;
  uint64_t excluded_before = 0;  // pages the input itself leaves out
  uint64_t pages_to_write = 0;
  std::optional<PipelineResult> pipeline;

  struct Stage {
    std::string name;
    uint64_t milliseconds = 0;
  };
  std::vector<Stage> stages;

  const Arch* arch = nullptr;  // nullptr: unknown, then there is no crash either
  std::optional<Crash> crash;
  std::string why_no_crash;
};

}  // namespace kdk
