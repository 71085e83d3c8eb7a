#include "capture/output/pipeline.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <system_error>
#include <thread>
#include <unordered_map>

#include "capture/output/stored_pages.h"
#include "capture/output/units.h"
#include "core/base/bus_error.h"
#include "core/base/copy_pages.h"

namespace kdk {
namespace {

constexpr size_t max_examples = 16;

// What workers and the waiting thread share.
struct Shared {
  std::atomic<uint64_t> done = 0, written = 0, zero = 0, same = 0, raw = 0, bytes = 0, errors = 0;
  std::vector<std::atomic<uint64_t>> by_group;  // pages written of each
  std::atomic<bool> give_up = false;            // a worker failed, the file is full, or stop was asked for
  std::mutex mutex;                             // guards what follows
  std::condition_variable finished;
  unsigned running = 0;
  std::optional<Error> failure;
  std::vector<Pfn> examples;
};

class Worker {
 public:
  Worker(const Dump& dump, Units& units, PageSink& sink, StoredPages& stored, const PipelineOptions& options,
         Shared& shared)
      : units_(units),
        sink_(sink),
        stored_(stored),
        options_(options),
        shared_(shared),
        page_size_(dump.info().page_size),
        reader_(dump.reader()),
        other_reader_(dump.reader()),
        compressor_(make_compressor(options.codec, options.codec_level, page_size_)) {}

  void run() {
    Unit unit;
    while (!should_stop() && units_.next(unit)) write_unit(unit);
  }

 private:
  bool should_stop() {
    if (options_.stop != nullptr && options_.stop->load(std::memory_order_relaxed)) shared_.give_up = true;
    return shared_.give_up.load(std::memory_order_relaxed);
  }

  void write_unit(const Unit& unit) {
    // Room for every page at its worst, so that compressors write in place.
    const size_t slot = std::max<size_t>(page_size_, compressor_->max_size());
    buffer_.resize(unit.pages.size() * page_size_ + slot);
    packed_.assign(unit.pages.size(), PackedPage{});
    hashes_.resize(unit.pages.size());
    placed_.resize(unit.pages.size());
    seen_.clear();
    used_ = 0;
    for (size_t i = 0; i < unit.pages.size(); ++i) {
      if (!add_page(unit.pages, i)) note_read_error(unit.pages[i]);
    }
    const size_t written = sink_.write({unit.pages, unit.indexes, packed_, {buffer_.data(), used_}, placed_});
    for (size_t i = 0; i < written; ++i) {
      // Only now may other threads point at it: before, the write could have failed.
      if (packed_[i].kind == PackedPage::Kind::data) stored_.add(hashes_[i], {unit.pages[i], placed_[i]});
    }
    finish_unit(unit, written);
    if (written < unit.pages.size()) throw error_from_errno(EFBIG, "the largest size allowed is reached");
  }

  // False when the page cannot be read.
  bool add_page(const std::vector<Pfn>& pages, size_t index) {
    PackedPage& packed = packed_[index];
    const PageView view = reader_->page(pages[index]);
    if (view.state != PageState::present) return false;
    // Everything that touches the page's memory is guarded: plain C, safe to cut short.
    bool zero = false;
    uint64_t hash = 0;
    if (!touch_guarded([&] {
          zero = is_zero_page(view.bytes);
          if (!zero) hash = page_hash(view.bytes);
        }))
      return false;
    if (zero) {
      packed.kind = PackedPage::Kind::zero;
      return true;
    }
    if (point_at_equal(pages, index, view.bytes, hash)) return true;
    if (!store_page(view, packed)) return false;
    hashes_[index] = hash;
    seen_.insert_or_assign(hash, index);
    return true;
  }

  // Finds a page with the same bytes that is stored already, or stands before this one in its batch.
  bool point_at_equal(const std::vector<Pfn>& pages, size_t index, Bytes bytes, uint64_t hash) {
    PackedPage& packed = packed_[index];
    if (const auto seen = seen_.find(hash); seen != seen_.end()) {
      const Pfn other = pages[seen->second];
      if (!sink_.shares(other, pages[index]) || !equal(bytes, other)) return false;
      packed.kind = PackedPage::Kind::repeat;
      packed.back = static_cast<uint32_t>(index - seen->second);
      return true;
    }
    const std::optional<StoredPages::Page> other = stored_.find(hash);
    if (!other || !sink_.shares(other->pfn, pages[index]) || !equal(bytes, other->pfn)) return false;
    packed.kind = PackedPage::Kind::stored;
    packed.at = other->at;
    return true;
  }

  bool equal(Bytes bytes, Pfn other) noexcept {
    const PageView view = other_reader_->page(other);
    bool same = false;
    return view.state == PageState::present && view.bytes.size() == bytes.size() &&
           touch_guarded([&] { same = std::memcmp(view.bytes.data(), bytes.data(), bytes.size()) == 0; }) &&
           same;
  }

  // Compresses the page, or takes the form it has. False when it cannot be read.
  bool store_page(const PageView& view, PackedPage& packed) noexcept {
    const bool reuse = reusable(view);
    size_t size = 0;
    const MutableBytes out{buffer_.data() + used_, buffer_.size() - used_};
    const bool read = touch_guarded([&] {
      if (reuse) {
        size = view.stored.size();
        std::memcpy(out.data(), view.stored.data(), size);
        return;
      }
      size = compressor_->compress(view.bytes, out);
      if (size == 0) copy_pages(out.data(), view.bytes.data(), view.bytes.size());
    });
    if (!read) return false;
    packed.kind = PackedPage::Kind::data;
    packed.size = static_cast<uint32_t>(size != 0 ? size : page_size_);
    packed.flags = size == 0 ? 0 : codec_flag(reuse ? view.codec : options_.codec);
    used_ += packed.size;
    return true;
  }

  // Whether the input's own compressed form will do.
  bool reusable(const PageView& view) const {
    if (view.codec == Codec::none) return false;
    return options_.reuse == PipelineOptions::Reuse::any_codec ||
           (options_.reuse == PipelineOptions::Reuse::same_codec && view.codec == options_.codec);
  }

  void note_read_error(Pfn pfn) {
    ++shared_.errors;
    std::lock_guard lock(shared_.mutex);
    if (shared_.examples.size() < max_examples) shared_.examples.push_back(pfn);
  }

  // `written`: pages of it that are in the file, those in front.
  void finish_unit(const Unit& unit, size_t written) {
    uint64_t lost = 0, zero = 0, same = 0, raw = 0, bytes = 0;
    for (size_t i = 0; i < written; ++i) {
      const PackedPage& page = packed_[i];
      lost += page.kind == PackedPage::Kind::lost;
      zero += page.kind == PackedPage::Kind::zero;
      same += page.kind == PackedPage::Kind::repeat || page.kind == PackedPage::Kind::stored;
      raw += page.kind == PackedPage::Kind::data && page.flags == 0;
      bytes += page.size;
    }
    shared_.done += written;
    shared_.written += written - lost;
    shared_.by_group[unit.group] += written - lost;
    shared_.zero += zero;
    shared_.same += same;
    shared_.raw += raw;
    shared_.bytes += bytes;
  }

  Units& units_;
  PageSink& sink_;
  StoredPages& stored_;
  const PipelineOptions& options_;
  Shared& shared_;
  const uint32_t page_size_;
  std::unique_ptr<PageReader> reader_, other_reader_;  // the other one for pages to compare with
  std::unique_ptr<Compressor> compressor_;
  std::vector<uint8_t> buffer_;
  std::vector<PackedPage> packed_;
  std::vector<uint64_t> hashes_;               // of the pages of kind data in this unit
  std::vector<PageLocation> placed_;           // and where they went
  std::unordered_map<uint64_t, size_t> seen_;  // and by hash, which it is
  size_t used_ = 0;
};

}  // namespace

bool is_zero_page(Bytes page) noexcept {
  // 64 bytes at a time with one test each: compilers turn the inner loop into vector instructions.
  for (size_t i = 0; i + 64 <= page.size(); i += 64) {
    uint64_t words[8];
    prefetch_ahead(page.data() + i);
    std::memcpy(words, page.data() + i, sizeof words);
    uint64_t any = 0;
    for (uint64_t word : words) any |= word;
    if (any != 0) return false;
  }
  return true;
}

Budget plan_budget(unsigned requested, unsigned cpus, std::optional<uint64_t> available_bytes) {
  // Beyond 8 threads the disk is the limit in every measurement of the field, and memory is not free.
  constexpr unsigned default_most = 8, most = 256;
  constexpr uint64_t unit = 1 << 20, small_unit = 256 << 10;
  constexpr uint64_t context = 2 << 20;  // compressor, window page tables, stack
  Budget budget;
  budget.threads = requested != 0 ? std::min(requested, most) : std::clamp(cpus, 1u, default_most);
  if (!available_bytes) return budget;
  // A quarter of what is free: the file system and the page cache need the rest.
  const uint64_t share = *available_bytes / 4;
  if (share < budget.threads * (unit + context)) budget.unit_bytes = small_unit;
  const uint64_t fit = share / (budget.unit_bytes + context);
  budget.threads = static_cast<unsigned>(std::clamp<uint64_t>(fit, 1, budget.threads));
  return budget;
}

std::optional<uint64_t> available_memory() {
  std::string text;
  try {
    text = read_text_file("/proc/meminfo", 1 << 16);
  } catch (const Error&) {
    return std::nullopt;  // no /proc: unknown, as documented
  }
  constexpr std::string_view key = "MemAvailable:";
  const size_t at = text.find(key);
  if (at == std::string::npos) return std::nullopt;
  const size_t digits = text.find_first_of("0123456789", at + key.size());
  uint64_t kib = 0;
  if (digits == std::string::npos) return std::nullopt;
  std::from_chars(text.data() + digits, text.data() + text.size(), kib);
  return kib * 1024;
}

PipelineResult run_pipeline(const Dump& dump, const PfnBitmap& dumped, PageSink& sink,
                            const PipelineOptions& options,
                            const std::function<void(const PipelineProgress&)>& progress) {
  install_bus_error_handler();
  const size_t pages_per_unit = std::max<size_t>(16, options.unit_bytes / dump.info().page_size);
  const PageOrder no_order;
  Units units(dumped, dump.ram(), options.order != nullptr ? *options.order : no_order, pages_per_unit);
  const uint64_t total = units.total();
  Shared shared;
  shared.by_group = std::vector<std::atomic<uint64_t>>(units.groups().size());
  StoredPages stored(total);
  const auto work = [&] {
    try {
      Worker(dump, units, sink, stored, options, shared).run();
    } catch (const Error& e) {
      std::lock_guard lock(shared.mutex);
      if (!shared.failure) shared.failure = e;
      shared.give_up = true;
    } catch (const std::exception& e) {  // out of memory, above all
      std::lock_guard lock(shared.mutex);
      if (!shared.failure) shared.failure = Error(Errc::io, fmt::format("worker failed: {}", e.what()));
      shared.give_up = true;
    }
    std::lock_guard lock(shared.mutex);
    --shared.running;
    shared.finished.notify_one();
  };

  PipelineResult result;
  {
    std::vector<std::jthread> threads;
    for (unsigned i = 0; i < std::max(1u, options.threads); ++i) {
      {
        std::lock_guard lock(shared.mutex);
        ++shared.running;
      }
      try {
        threads.emplace_back(work);
      } catch (
          const std::system_error&) {  // no more threads: go on with those there are, at worst with this one
        if (threads.empty()) {
          result.threads = 1;
          work();
        } else {
          std::lock_guard lock(shared.mutex);
          --shared.running;
        }
        break;
      }
    }
    result.threads = std::max<unsigned>(result.threads, static_cast<unsigned>(threads.size()));
    std::unique_lock lock(shared.mutex);
    while (!shared.finished.wait_for(lock, std::chrono::milliseconds(200),
                                     [&] { return shared.running == 0; })) {
      if (!progress) continue;
      lock.unlock();
      progress({shared.done, total, shared.bytes});
      lock.lock();
    }
  }
  result.pages_written = shared.written;
  result.zero_pages = shared.zero;
  result.shared_pages = shared.same;
  result.raw_pages = shared.raw;
  result.data_bytes = shared.bytes;
  result.read_errors = shared.errors;
  result.error_examples = std::move(shared.examples);
  std::ranges::sort(result.error_examples);
  for (size_t g = 0; g < units.groups().size(); ++g) {
    const Units::Group& group = units.groups()[g];
    if (group.pages != 0) result.groups.push_back({group.name, group.pages, shared.by_group[g]});
  }
  result.failure = std::move(shared.failure);
  result.stopped = options.stop != nullptr && options.stop->load() && shared.done < total;
  if (progress) progress({shared.done, total, shared.bytes});
  return result;
}

}  // namespace kdk
