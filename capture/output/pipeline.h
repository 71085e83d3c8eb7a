// Copies the chosen pages into the output: workers take runs of pages, read, test for zeros, compress, and
// write each run's data as one piece at an offset they claim; then they publish the run's descriptors.
//
// Only the descriptor table is in page order, and its places are known beforehand, so the most useful pages
// go first (filter/page_order.h), and no worker ever waits for another: one short lock per MiB of pages to
// take the next run, none per page, and one CPU is as good as any number. A page that cannot be read (I/O
// error, SIGBUS from poisoned memory, corrupt input) costs its own descriptor and nothing else. Data goes out
// before the descriptors that point at it, so a file cut short at any moment is sound.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "capture/filter/page_order.h"
#include "core/base/error.h"
#include "core/formats/codec.h"
#include "core/formats/dump.h"
#include "core/formats/kdump_writer.h"
#include "core/formats/page_sink.h"

namespace kdk {

struct PipelineOptions {
  Codec codec = Codec::zstd;
  int codec_level = 0;  // 0: the codec's default
  unsigned threads = 1;
  uint32_t unit_bytes = 1 << 20;  // of page data that a worker takes at once
  // Which pages that the input has compressed are copied as they are, after it was seen that they expand.
  enum class Reuse : uint8_t { none, same_codec, any_codec };
  Reuse reuse = Reuse::none;
  const PageOrder* order = nullptr;         // nullptr: in the order of page frames
  const std::atomic<bool>* stop = nullptr;  // set from a signal handler
};

struct PipelineProgress {
  uint64_t pages_done = 0;
  uint64_t pages_total = 0;
  uint64_t bytes_written = 0;
};

struct PipelineResult {
  uint64_t pages_written = 0;       // with a descriptor that points at data, zero pages included
  uint64_t zero_pages = 0;          // share one stored page
  uint64_t shared_pages = 0;        // share the data of an equal page
  uint64_t raw_pages = 0;           // did not shrink, stored as they are
  uint64_t data_bytes = 0;          // page data written
  uint64_t read_errors = 0;         // pages that could not be read: their descriptors stay empty
  std::vector<Pfn> error_examples;  // the first few, ascending
  struct Group {
    std::string name;      // see filter/page_order.h
    uint64_t pages = 0;    // of the dump
    uint64_t written = 0;  // of these, as in pages_written
  };
  std::vector<Group> groups;     // in the order of writing, without empty ones
  std::optional<Error> failure;  // writing failed; what was published before stands
  bool stopped = false;          // `stop` was set
  unsigned threads = 0;          // that really ran
};

// Reads the pages of `dumped` and writes them to `sink`, which was made for the same bitmap. `progress` is
// called from the calling thread some times a second; may be empty. Never throws for what happens to pages or
// output: see PipelineResult.
PipelineResult run_pipeline(const Dump& dump, const PfnBitmap& dumped, PageSink& sink,
                            const PipelineOptions& options,
                            const std::function<void(const PipelineProgress&)>& progress);

// True when all of `page` (a multiple of 64 bytes) is zero.
bool is_zero_page(Bytes page) noexcept;

// Threads and unit size that fit the machine: `requested` 0 means as many as CPUs, at most 8; fewer when
// `available_bytes` (MemAvailable; nullopt = unknown) is short.
struct Budget {
  unsigned threads = 1;
  uint32_t unit_bytes = 1 << 20;
};
Budget plan_budget(unsigned requested, unsigned cpus, std::optional<uint64_t> available_bytes);

// MemAvailable of /proc/meminfo in bytes.
std::optional<uint64_t> available_memory();

}  // namespace kdk
