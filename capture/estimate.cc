#include "capture/estimate.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <iterator>

#include "capture/filter/choose.h"
#include "capture/filter/kernel_facts.h"
#include "capture/output/pipeline.h"
#include "capture/run/run_config.h"
#include "core/base/file.h"
#include "core/config/config_file.h"
#include "core/formats/dump_output.h"
#include "core/formats/kdump_format.h"
#include "core/kernel/kernel.h"
#include "core/kernel/vmcoreinfo_search.h"

namespace kdk {
namespace {

constexpr std::string_view kcore = "/proc/kcore";

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Every n-th page of `keep`, at most `most`: pages that lie together are alike, so all of memory counts.
PfnBitmap sample_of(const PfnBitmap& keep, uint64_t most) {
  const uint64_t total = keep.count(), step = std::max<uint64_t>(1, total / std::max<uint64_t>(most, 1));
  PfnBitmap sample(keep.size());
  uint64_t index = 0;
  for (const PfnRange& run : keep.ranges()) {
    for (Pfn pfn = run.begin; pfn < run.end; pfn = pfn + 1) {
      if (index++ % step == 0) sample.set(pfn);
    }
  }
  return sample;
}

class Estimator {
 public:
  Estimator(const EstimateOptions& options, const std::atomic<bool>& stop) : options_(options), stop_(stop) {}

  Estimate run() {
    std::vector<unsigned> levels = options_.levels;
    levels.push_back(level_all);  // tells all classes apart
    std::optional<RunConfig> config;
    if (options_.config) {
      config = read_run_config(ConfigFile::read(*options_.config));
      levels.insert(levels.end(), config->levels.begin(), config->levels.end());
    }
    std::ranges::sort(levels);
    levels.erase(std::unique(levels.begin(), levels.end()), levels.end());
    open();
    for (unsigned level : levels) add_level(level);
    if (config) add_targets(*config);
    return std::move(estimate_);
  }

 private:
  void open() {
    dump_ = open_kernel_dump(options_.inputs, options_.vmcoreinfo);
    if (dump_->ram().empty()) throw Error(Errc::format, dump_->name() + ": holds no memory");
    try {
      kernel_ = std::make_unique<Kernel>(*dump_);
    } catch (const Error& e) {
      why_no_kernel_ = e.message();
    }
    const KernelNames names = read_kernel_names(*dump_, kernel_.get());
    estimate_.machine = names.machine;
    estimate_.release = names.release;
    estimate_.page_size = dump_->info().page_size;
    header_ = dump_header(*dump_, names);
    std::optional<std::filesystem::path> iomem = options_.iomem;
    if (!iomem && options_.inputs.front() == kcore) iomem = "/proc/iomem";
    if (iomem) reserved_ = crash_kernel_ranges(read_text_file(*iomem, 1 << 20), estimate_.page_size);
    PfnBitmap ram(dump_->end_pfn().value);
    for (const PfnRange& range : dump_->ram()) ram.set_range(range);
    const uint64_t all = ram.count();
    for (const PfnRange& range : reserved_) ram.clear_range(range);
    estimate_.ram_pages = ram.count();
    estimate_.reserved_pages = all - estimate_.ram_pages;
    ram_ = std::move(ram);
  }

  void add_level(unsigned level) {
    ChooseRequest request;
    request.level = level;
    request.stop = &stop_;
    request.why_not = why_no_kernel_;
    const auto start = std::chrono::steady_clock::now();
    PageChoice choice = choose_pages(*dump_, kernel_.get(), request);
    const double choosing = seconds_since(start);
    check_stop();
    for (const PfnRange& range : reserved_) choice.scan.keep.clear_range(range);
    if (level == level_all) {
      estimate_.classes = choice.scan.classes;
      for (std::vector<std::string>* sentences : {&choice.reasons, &choice.notes})
        std::ranges::move(*sentences, std::back_inserter(estimate_.notes));
    }
    const PfnBitmap sample = sample_of(choice.scan.keep, options_.sample_pages);
    Estimate::Level result{level, choice.scan.keep.count(), sample.count(), {}};
    for (Codec codec : {Codec::zstd, Codec::lzo, Codec::snappy, Codec::zlib, Codec::none}) {
      result.codecs.push_back(compress(codec, sample, result));
      result.codecs.back().seconds += choosing;
      check_stop();
    }
    estimate_.levels.push_back(std::move(result));
  }

  Estimate::CodecSize compress(Codec codec, const PfnBitmap& sample, const Estimate::Level& level) const {
    NullOutput output;
    KdumpWriter writer(output, "estimate", header_, ram_, sample);
    const uint64_t empty = writer.size();
    PipelineOptions options;
    options.codec = codec;
    options.stop = &stop_;
    const auto start = std::chrono::steady_clock::now();
    const PipelineResult done = run_pipeline(*dump_, sample, writer, options, {});
    if (done.failure) throw *done.failure;
    const double scale =
        level.sampled == 0 ? 0.0 : static_cast<double>(level.pages) / static_cast<double>(level.sampled);
    const double data = static_cast<double>(writer.size() - empty) * scale;
    const uint64_t descriptors = (level.pages - level.sampled) * sizeof(kdump::PageDescriptor);
    return {codec, empty + descriptors + static_cast<uint64_t>(data), seconds_since(start) * scale};
  }

  void add_targets(const RunConfig& config) {
    for (const RunTarget& target : config.targets) {
      Estimate::Target result{target_room(target), 0, config.codec, 0};
      std::optional<uint64_t>& available = result.room.available;
      const uint64_t most = target.max_bytes != 0 ? target.max_bytes : UINT64_MAX;
      if (available) available = std::min(*available, most);
      for (unsigned wanted : config.levels) {  // as run does: the first that fits
        const auto level = std::ranges::find(estimate_.levels, wanted, &Estimate::Level::level);
        result.level = wanted;
        result.needed = std::ranges::find(level->codecs, config.codec, &Estimate::CodecSize::codec)->bytes;
        if (result.fits().value_or(result.needed <= most) || is_stream(target.kind)) break;
      }
      if (!available && result.needed > most) available = most;  // at best
      estimate_.targets.push_back(std::move(result));
    }
    if (config.codec_level != 0)
      estimate_.notes.emplace_back("sizes are for the codec's default level, not the configured one");
  }

  void check_stop() const {
    if (stop_) throw Error(Errc::io, "interrupted");
  }

  const EstimateOptions& options_;
  const std::atomic<bool>& stop_;
  Estimate estimate_;
  std::unique_ptr<Dump> dump_;
  std::unique_ptr<Kernel> kernel_;
  std::string why_no_kernel_;
  KdumpHeader header_;
  PfnBitmap ram_;
  std::vector<PfnRange> reserved_;
};

}  // namespace

std::vector<PfnRange> crash_kernel_ranges(std::string_view iomem, uint32_t page_size) {
  std::vector<PfnRange> ranges;
  while (!iomem.empty()) {
    const size_t newline = iomem.find('\n');
    std::string_view line = iomem.substr(0, newline);
    iomem = newline == std::string_view::npos ? std::string_view{} : iomem.substr(newline + 1);
    if (!line.ends_with(" : Crash kernel")) continue;
    line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
    uint64_t first = 0, last = 0;
    const char* end = line.data() + line.size();
    const auto [dash, bad] = std::from_chars(line.data(), end, first, 16);
    if (bad != std::errc() || dash == end || *dash != '-') continue;
    if (std::from_chars(dash + 1, end, last, 16).ec != std::errc() || last <= first) continue;
    ranges.push_back({{first / page_size}, {last / page_size + 1}});
  }
  return ranges;
}

Estimate estimate_dump(const EstimateOptions& options, const std::atomic<bool>& stop) {
  return Estimator(options, stop).run();
}

}  // namespace kdk
