// `kdump-capture estimate`: how large a dump of this machine would be and how long it would take, told before
// anything crashes - from the memory of the running kernel (/proc/kcore), or from any dump.
//
// The pages are chosen as for a dump, once for each level; a sample of them is compressed with each codec,
// and the result scaled. A running system changes meanwhile, so this is an estimate in that way, too.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "capture/filter/scan.h"
#include "capture/run/room.h"
#include "core/formats/codec.h"

namespace kdk {

struct EstimateOptions {
  std::vector<std::filesystem::path> inputs = {"/proc/kcore"};
  std::optional<std::filesystem::path> vmcoreinfo;
  std::vector<unsigned> levels = {1, 17, 31};
  // The configuration whose targets, level and codec count.
  std::optional<std::filesystem::path> config;
  // Where the memory of the crash kernel stands, which is in no dump; nullopt: /proc/iomem for /proc/kcore,
  // else nowhere.
  std::optional<std::filesystem::path> iomem;
  uint64_t sample_pages = 8192;  // compressed at each level with each codec; fewer when there are fewer
};

struct Estimate {
  std::string machine, release;
  uint32_t page_size = 0;
  uint64_t ram_pages = 0;       // that a dump would know
  uint64_t reserved_pages = 0;  // of the crash kernel, not among them
  // Pages by class, with every class told apart (level 31).
  std::array<ClassCounts, page_class_count> classes;

  struct CodecSize {
    Codec codec = Codec::none;
    uint64_t bytes = 0;  // of the dump
    double seconds = 0;  // of one CPU of this machine, choosing pages included
  };
  struct Level {
    unsigned level = 0;
    uint64_t pages = 0;    // kept
    uint64_t sampled = 0;  // of these, compressed
    std::vector<CodecSize> codecs;
  };
  std::vector<Level> levels;  // ascending

  struct Target {
    TargetRoom room;
    unsigned level = 0;
    Codec codec = Codec::zstd;
    uint64_t needed = 0;  // bytes
    // nullopt: the room is not known.
    std::optional<bool> fits() const {
      return room.available ? std::optional(*room.available >= needed) : std::nullopt;
    }
  };
  std::vector<Target> targets;
  std::vector<std::string> notes;
};

// Throws Error when the memory cannot be read at all, or the configuration is wrong. `stop`: set to end early
// (a signal); throws then.
Estimate estimate_dump(const EstimateOptions& options, const std::atomic<bool>& stop);

std::string estimate_text(const Estimate& estimate);
// schemas/capture-estimate.schema.json
std::string estimate_json(const Estimate& estimate);

// The ranges of /proc/iomem that are reserved for the crash kernel, in page frames. Lines of another form,
// and addresses that are hidden, are left out.
std::vector<PfnRange> crash_kernel_ranges(std::string_view iomem, uint32_t page_size);

}  // namespace kdk
