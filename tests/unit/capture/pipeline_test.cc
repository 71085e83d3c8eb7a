#include "capture/output/pipeline.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <map>

#include "capture/output/stored_pages.h"

namespace kdk {
namespace {

constexpr uint32_t page_size = 4096;

// Pages by number: zero, text, noise, unreadable, or mapped behind the end of a file (SIGBUS when touched).
class FakeDump : public Dump {
 public:
  explicit FakeDump(uint64_t pages) {
    name_ = "fake";
    info_.page_size = page_size;
    ram_ = {{{0}, {pages}}};
    Fd empty(::memfd_create("empty", MFD_CLOEXEC));
    void* mapped = ::mmap(nullptr, page_size, PROT_READ, MAP_PRIVATE, empty.get(), 0);
    if (mapped != MAP_FAILED) trap_ = static_cast<const uint8_t*>(mapped);
  }
  ~FakeDump() override { ::munmap(const_cast<uint8_t*>(trap_), page_size); }

  PageState state(Pfn pfn) const noexcept override {
    return unreadable_.contains(pfn.value) ? PageState::unreadable : PageState::present;
  }
  std::unique_ptr<PageReader> reader() const override { return std::make_unique<Reader>(*this, ++readers_); }

  void make_unreadable(uint64_t pfn) { unreadable_[pfn] = true; }
  void make_trap(uint64_t pfn) { traps_[pfn] = true; }
  // Pages of readers made after the first one for each thread cannot be read; for one thread.
  void fail_second_reads() { fail_second_reads_ = true; }
  // Every page is this one, each with its own number in the byte at `at`; for at most 256 pages.
  void number_equal_pages(size_t at) { number_at_ = at; }
  std::vector<uint8_t> page(uint64_t pfn) const {
    std::vector<uint8_t> bytes = content(number_at_ ? 1 : pfn);
    if (number_at_) bytes[*number_at_] = static_cast<uint8_t>(pfn);
    return bytes;
  }

  static std::vector<uint8_t> content(uint64_t pfn) {
    std::vector<uint8_t> page(page_size);
    if (pfn % 3 == 0) return page;  // zeros
    uint64_t x = pfn * 0x9e3779b97f4a7c15u + 1;
    for (size_t i = 0; i < page.size(); ++i) {
      x = x * 6364136223846793005u + 1442695040888963407u;
      page[i] =
          pfn % 3 == 1 ? static_cast<uint8_t>("kdumpkit"[(i + pfn) % 8]) : static_cast<uint8_t>(x >> 56);
    }
    return page;
  }

 private:
  class Reader : public PageReader {
   public:
    Reader(const FakeDump& dump, int number) : dump_(dump), number_(number) {}
    PageView page(Pfn pfn) noexcept override {
      if (dump_.fail_second_reads_ && number_ > 1) return {PageState::unreadable, {}};
      if (dump_.unreadable_.contains(pfn.value)) return {PageState::unreadable, {}};
      if (dump_.traps_.contains(pfn.value)) return {PageState::present, {dump_.trap_, page_size}};
      bytes_ = dump_.page(pfn.value);
      return {PageState::present, bytes_};
    }

   private:
    const FakeDump& dump_;
    const int number_;
    std::vector<uint8_t> bytes_;
  };

  const uint8_t* trap_ = nullptr;
  std::map<uint64_t, bool> unreadable_, traps_;
  bool fail_second_reads_ = false;
  std::optional<size_t> number_at_;
  mutable std::atomic<int> readers_ = 0;
};

struct Output {
  std::filesystem::path path;
  Fd fd;

  Output() {
    std::string name = std::filesystem::temp_directory_path() / "kdk_pipeline_XXXXXX";
    fd = Fd(::mkstemp(name.data()));
    path = name;
  }
  ~Output() { std::filesystem::remove(path); }
};

struct Written {
  PipelineResult result;
  std::unique_ptr<Dump> dump;  // the file, opened again
};

Written write_pages(const FakeDump& source, const PfnBitmap& pages, const PipelineOptions& options,
                    Output& output, bool complete = true) {
  PfnBitmap ram(source.end_pfn().value);
  ram.set_range(source.ram().front());
  KdumpHeader header;
  header.page_size = page_size;
  header.end_pfn = source.end_pfn().value;
  header.machine = "aarch64";
  header.codec_hint = codec_flag(options.codec);
  FileOutput file(output.fd, "out");
  KdumpWriter writer(file, "out", header, ram, pages);
  Written written;
  written.result = run_pipeline(source, pages, writer, options, {});
  writer.finish(complete && !written.result.failure);
  written.dump = open_dump(output.path);
  return written;
}

PfnBitmap every(uint64_t pages, uint64_t step = 1) {
  PfnBitmap bits(pages);
  for (uint64_t p = 0; p < pages; p += step) bits.set({p});
  return bits;
}

TEST(ZeroPage, SeesEveryByte) {
  std::vector<uint8_t> page(page_size);
  EXPECT_TRUE(is_zero_page(page));
  for (size_t i = 0; i < page.size(); ++i) {
    page[i] = 1;
    EXPECT_FALSE(is_zero_page(page)) << i;
    page[i] = 0;
  }
}

class EveryCodec : public testing::TestWithParam<std::tuple<Codec, unsigned>> {};

TEST_P(EveryCodec, WritesWhatItRead) {
  const auto [codec, threads] = GetParam();
  constexpr uint64_t count = 3000;
  FakeDump source(count);
  Output output;
  PipelineOptions options;
  options.codec = codec;
  options.threads = threads;
  options.unit_bytes = 64 << 10;
  const PfnBitmap pages = every(count, 2);
  // What is not chosen is not even touched: it may be poisoned.
  for (uint64_t p = 1; p < count; p += 2) source.make_trap(p);
  const Written written = write_pages(source, pages, options, output);
  EXPECT_FALSE(written.result.failure);
  EXPECT_EQ(written.result.threads, threads);
  EXPECT_EQ(written.result.pages_written, count / 2);
  EXPECT_EQ(written.result.zero_pages, count / 6);
  // Of every six pages one is text, in four different forms. Threads may each store one before they know of
  // the other's, and a form is stored again when another page took its place in the table.
  EXPECT_LE(written.result.shared_pages, count / 6 - 4);
  EXPECT_GE(written.result.shared_pages, count / 6 - 20);
  EXPECT_EQ(written.result.read_errors, 0u);
  EXPECT_FALSE(written.dump->info().incomplete);
  const std::unique_ptr<PageReader> reader = written.dump->reader();
  for (uint64_t p = 0; p < count; ++p) {
    const PageView view = reader->page({p});
    if (p % 2 != 0) {
      ASSERT_EQ(view.state, PageState::excluded) << p;
      continue;
    }
    ASSERT_EQ(view.state, PageState::present) << p;
    ASSERT_TRUE(std::ranges::equal(view.bytes, FakeDump::content(p))) << p;
  }
}

INSTANTIATE_TEST_SUITE_P(All, EveryCodec,
                         testing::Combine(testing::Values(Codec::none, Codec::zlib, Codec::lzo, Codec::snappy,
                                                          Codec::zstd),
                                          testing::Values(1u, 3u)));

// Equal pages share their data within a batch and across batches, and take its place in the file once.
TEST(Pipeline, EqualPagesAreStoredOnce) {
  constexpr uint64_t count = 3000;
  FakeDump source(count);
  Output output;
  PipelineOptions options;
  options.codec = Codec::none;
  options.unit_bytes = 64 << 10;
  const PfnBitmap pages = every(count);
  const Written written = write_pages(source, pages, options, output);
  EXPECT_LE(written.result.shared_pages, count / 3 - 8);  // eight turns of the text
  EXPECT_GE(written.result.shared_pages, count / 3 - 20);
  EXPECT_EQ(written.result.data_bytes, (count / 3 * 2 - written.result.shared_pages) * page_size);
  const std::unique_ptr<PageReader> reader = written.dump->reader();
  for (uint64_t p = 0; p < count; ++p)
    ASSERT_TRUE(std::ranges::equal(reader->page({p}).bytes, FakeDump::content(p))) << p;
}

// A page that cannot be read again is no page to be equal to.
TEST(Pipeline, APageThatIsGoneIsNotPointedAt) {
  constexpr uint64_t count = 600;
  FakeDump source(count);
  source.fail_second_reads();
  Output output;
  PipelineOptions options;
  options.codec = Codec::none;
  const Written written = write_pages(source, every(count), options, output);
  EXPECT_EQ(written.result.shared_pages, 0u);
  EXPECT_EQ(written.result.read_errors, 0u);
  const std::unique_ptr<PageReader> reader = written.dump->reader();
  for (uint64_t p = 0; p < count; ++p)
    ASSERT_TRUE(std::ranges::equal(reader->page({p}).bytes, FakeDump::content(p))) << p;
}

TEST(StoredPages, IsBoundedAndKeepsTheNewest) {
  StoredPages stored(uint64_t{1} << 40);
  const uint64_t hash = 7, other = hash + (uint64_t{1} << 40);  // in the same place of any table that fits
  EXPECT_FALSE(stored.find(hash));
  stored.add(hash, {{1}, {4096, 100, 0}});
  ASSERT_TRUE(stored.find(hash));
  EXPECT_EQ(stored.find(hash)->at.offset, 4096u);
  EXPECT_FALSE(stored.find(other));
  stored.add(other, {{2}, {8192, 100, 0}});
  EXPECT_FALSE(stored.find(hash));
  EXPECT_EQ(stored.find(other)->pfn.value, 2u);
}

// Its memory is used in turn: what was known first is forgotten first, and never taken for what came in its
// place.
TEST(StoredPages, ForgetsTheOldest) {
  StoredPages stored(1);
  constexpr uint64_t known = 1024;
  for (uint64_t i = 0; i < known; ++i) stored.add(i, {{i}, {i * 10, 100, 0}});
  for (uint64_t i = 0; i < known; ++i) ASSERT_EQ(stored.find(i).value().pfn.value, i);
  // In a place of their own in the table, or in that of another page.
  for (uint64_t i = 0; i < 10; ++i) stored.add(5000 + 2 * i, {{5000 + i}, {i, 100, 0}});
  for (uint64_t i = 0; i < 10; ++i) {
    EXPECT_FALSE(stored.find(i)) << i;
    EXPECT_EQ(stored.find(5000 + 2 * i).value().pfn.value, 5000 + i);
  }
  EXPECT_EQ(stored.find(known - 1).value().at.offset, (known - 1) * 10);
}

// One word in four counts. Pages that differ in one cache line only are told apart by a quarter of its bytes,
// whichever line it is; those that differ in several nearly always.
TEST(PageHash, SeesPartOfEveryLine) {
  std::vector<uint8_t> page(page_size, 1);
  std::map<uint64_t, size_t> seen{{page_hash(page), page.size()}};
  for (size_t line = 0; line < page.size(); line += 64) {
    size_t noticed = 0;
    for (size_t i = line; i < line + 64; ++i) {
      page[i] = 2;
      noticed += seen.emplace(page_hash(page), i).second;
      page[i] = 1;
    }
    EXPECT_EQ(noticed, 16u) << line;
  }
}

// The hash finds candidates; bytes decide.
TEST(Pipeline, PagesOfOneHashAreNotTakenForEachOther) {
  constexpr uint64_t count = 200;
  size_t at = 0;  // a byte that the hash does not see
  for (std::vector<uint8_t> page(page_size); at < page_size; ++at) {
    const uint64_t before = page_hash(page);
    page[at] = 1;
    if (page_hash(page) == before) break;
    page[at] = 0;
  }
  ASSERT_LT(at, page_size);
  FakeDump source(count);
  source.number_equal_pages(at);
  Output output;
  PipelineOptions options;
  options.codec = Codec::none;
  options.unit_bytes = 64 << 10;  // within a batch and across batches
  const Written written = write_pages(source, every(count), options, output);
  EXPECT_EQ(written.result.shared_pages, 0u);
  const std::unique_ptr<PageReader> reader = written.dump->reader();
  for (uint64_t p = 0; p < count; ++p)
    ASSERT_TRUE(std::ranges::equal(reader->page({p}).bytes, source.page(p))) << p;
}

TEST(Pipeline, UnreadablePagesCostOnlyThemselves) {
  constexpr uint64_t count = 500;
  FakeDump source(count);
  source.make_unreadable(7);
  source.make_unreadable(8);
  source.make_trap(200);  // SIGBUS on touch
  Output output;
  PipelineOptions options;
  options.threads = 2;
  options.unit_bytes = 64 << 10;
  const Written written = write_pages(source, every(count), options, output, false);
  EXPECT_EQ(written.result.read_errors, 3u);
  EXPECT_EQ(written.result.error_examples, (std::vector<Pfn>{{7}, {8}, {200}}));
  EXPECT_EQ(written.result.pages_written, count - 3);
  const std::unique_ptr<PageReader> reader = written.dump->reader();
  for (uint64_t p = 0; p < count; ++p) {
    const bool bad = p == 7 || p == 8 || p == 200;
    const PageView view = reader->page({p});
    ASSERT_EQ(view.state, bad ? PageState::unreadable : PageState::present) << p;
    if (bad) continue;
    ASSERT_TRUE(std::ranges::equal(view.bytes, FakeDump::content(p))) << p;
  }
}

// A full disk, wherever it strikes: the file opens, says that it is incomplete, and every page in it is
// right.
TEST(Pipeline, AFullDiskLeavesASoundFile) {
  constexpr uint64_t count = 1200;
  FakeDump source(count);
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  for (uint64_t limit : {60u << 10, 200u << 10, 500u << 10, 1200u << 10}) {
    Output output;
    PipelineOptions options;
    options.codec = Codec::lzo;
    options.threads = 2;
    options.unit_bytes = 64 << 10;
    rlimit full{limit, before.rlim_max};
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &full), 0);
    const Written written = write_pages(source, every(count), options, output, false);
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
    ASSERT_TRUE(written.result.failure) << limit;
    EXPECT_EQ(written.result.failure->code(), Errc::io);
    EXPECT_TRUE(written.dump->info().incomplete);
    const std::unique_ptr<PageReader> reader = written.dump->reader();
    uint64_t present = 0;
    for (uint64_t p = 0; p < count; ++p) {
      const PageView view = reader->page({p});
      if (view.state == PageState::present) {
        ++present;
        ASSERT_TRUE(std::ranges::equal(view.bytes, FakeDump::content(p))) << p;
      } else {
        ASSERT_EQ(view.state, PageState::unreadable) << p;
      }
    }
    EXPECT_EQ(present, written.result.pages_written) << limit;
  }
}

TEST(Pipeline, StopsWhenAsked) {
  FakeDump source(20000);
  Output output;
  std::atomic<bool> stop = true;
  PipelineOptions options;
  options.stop = &stop;
  const Written written = write_pages(source, every(20000), options, output, false);
  EXPECT_TRUE(written.result.stopped);
  EXPECT_EQ(written.result.pages_written, 0u);
  EXPECT_TRUE(written.dump->info().incomplete);
}

TEST(Budget, FitsTheMachine) {
  constexpr uint64_t gib = uint64_t{1} << 30, mib = 1 << 20;
  EXPECT_EQ(plan_budget(0, 4, 8 * gib).threads, 4u);
  EXPECT_EQ(plan_budget(0, 64, 8 * gib).threads, 8u);
  EXPECT_EQ(plan_budget(16, 4, 8 * gib).threads, 16u);  // asked for
  EXPECT_EQ(plan_budget(0, 0, std::nullopt).threads, 1u);
  const Budget small = plan_budget(0, 8, 60 * mib);
  EXPECT_EQ(small.unit_bytes, 256u << 10);
  EXPECT_LE(small.threads, 6u);
  EXPECT_EQ(plan_budget(8, 8, 1 * mib).threads, 1u);
}

}  // namespace
}  // namespace kdk
