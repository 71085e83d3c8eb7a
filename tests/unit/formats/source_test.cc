// Where bytes come from, and how the right reader is found for them.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <numeric>
#include <random>

#include "core/base/bus_error.h"
#include "core/base/error.h"
#include "core/base/file.h"
#include "core/formats/extent_map.h"
#include "core/formats/ranked_bitmap.h"
#include "core/formats/source_reader.h"
#include "tests/unit/formats/raw_dump.h"

namespace kdk::test {
namespace {

std::filesystem::path temporary(std::string_view name) {
  return std::filesystem::path(testing::TempDir()) / ("kdk-source-" + std::string(name));
}

Errc code_of(const std::filesystem::path& path) {
  try {
    open_dump(path);
  } catch (const Error& e) {
    EXPECT_NE(e.message().find(path.string()), std::string::npos) << e.message();
    return e.code();
  }
  ADD_FAILURE() << "no Error for " << path;
  return Errc::io;
}

TEST(FileSource, ReadsAndViewsARegularFile) {
  std::vector<uint8_t> content(10000);
  std::iota(content.begin(), content.end(), uint8_t{0});
  write_file_atomic(temporary("plain"), content);
  std::unique_ptr<ByteSource> source = open_file_source(temporary("plain"));
  EXPECT_EQ(source->size(), content.size());
  std::vector<uint8_t> out(100);
  EXPECT_EQ(source->read(9950, out), 50u);
  EXPECT_EQ(out[0], content[9950]);
  EXPECT_EQ(source->read(10000, out), 0u);
  EXPECT_EQ(source->read(~uint64_t{0}, out), 0u);
  ASSERT_TRUE(source->view(5000, 5000));
  EXPECT_EQ((*source->view(5000, 5000))[4999], content[9999]);
  EXPECT_FALSE(source->view(5000, 5001));
  EXPECT_FALSE(source->view(~uint64_t{0}, 2));
  EXPECT_NE(error_of([&] { read_exact(*source, 9950, out, "the thing"); }).find("the thing needs 100 bytes"),
            std::string::npos);
}

// A dump on a file system that fills up or is cut while we read: one page is lost, not the program.
TEST(FileSource, FileThatShrinksCostsOnlyThePagesThatAreGone) {
  std::vector<uint8_t> bytes = build(RawElf{.segments = {pattern_segment(0x100, 64)}});
  std::filesystem::path path = temporary("shrinks");
  write_file_atomic(path, bytes);
  std::unique_ptr<Dump> dump = open_dump(path);
  ASSERT_EQ(::truncate(path.c_str(), static_cast<off_t>(bytes.size() / 2)), 0);
  std::unique_ptr<PageReader> reader = dump->reader();
  std::vector<uint8_t> copy(raw_page);
  auto readable = [&](uint64_t pfn) {
    PageView page = reader->page(Pfn{pfn});
    return page.state == PageState::present &&
           touch_guarded([&] { std::memcpy(copy.data(), page.bytes.data(), page.bytes.size()); });
  };
  EXPECT_TRUE(readable(0x100));
  EXPECT_FALSE(readable(0x13f));
  EXPECT_TRUE(readable(0x101));
}

TEST(FileSource, CompressedPagesOfAShrunkenFileAreUnreadable) {
  RawKdump k;
  k.end_pfn = 64;
  k.ram = {{{0}, {64}}};
  for (uint64_t pfn = 0; pfn < 64; ++pfn) k.dumped[pfn] = Codec::zstd;
  std::vector<uint8_t> bytes = build(k);
  std::filesystem::path path = temporary("shrinks-kdump");
  write_file_atomic(path, bytes);
  std::unique_ptr<Dump> dump = open_dump(path);
  ASSERT_EQ(::truncate(path.c_str(), static_cast<off_t>(descriptor_table(k) + 64 * 24)), 0);
  EXPECT_EQ(dump->reader()->page(Pfn{63}).state, PageState::unreadable);
  ASSERT_EQ(::truncate(path.c_str(), 4096), 0);  // now the descriptors are gone, too
  EXPECT_EQ(dump->reader()->page(Pfn{63}).state, PageState::unreadable);
}

// --- windows: how /proc/vmcore is read

class WindowTest : public testing::Test {
 protected:
  static constexpr uint64_t size = (uint64_t{10} << 20) + 1234;
  WindowTest() : content(size) {
    for (uint64_t i = 0; i < size; ++i) content[i] = static_cast<uint8_t>(i * 2654435761u >> 13);
    write_file_atomic(temporary("windows"), content);
    source = open_windowed_source(temporary("windows"), size);
    window = source->window();
  }
  bool shows(uint64_t offset, uint64_t length) {
    std::optional<Bytes> bytes = window->map(offset, length);
    return bytes && bytes->size() == length &&
           std::equal(bytes->begin(), bytes->end(), content.begin() + static_cast<std::ptrdiff_t>(offset));
  }
  std::vector<uint8_t> content;
  std::unique_ptr<ByteSource> source;
  std::unique_ptr<ByteSource::Window> window;
};

TEST_F(WindowTest, SequentialReadingSeesEveryByte) {
  for (uint64_t at = 0; at < size; at += 4096)
    ASSERT_TRUE(shows(at, std::min<uint64_t>(4096, size - at))) << at;
}

TEST_F(WindowTest, AnyOrderAndAlignmentWorks) {
  std::mt19937_64 random(11);
  for (int i = 0; i < 2000; ++i) {
    uint64_t offset = random() % size, length = std::min<uint64_t>(1 + random() % 70000, size - offset);
    ASSERT_TRUE(shows(offset, length)) << offset << " " << length;
  }
}

TEST_F(WindowTest, NothingOutsideTheFileIsMapped) {
  EXPECT_TRUE(shows(size - 1, 1));
  EXPECT_FALSE(window->map(size, 1));
  EXPECT_FALSE(window->map(size - 1, 2));
  EXPECT_FALSE(window->map(~uint64_t{0}, 1));
  EXPECT_FALSE(window->map(0, 0));
  EXPECT_FALSE(source->view(0, 1));
}

TEST_F(WindowTest, ReaderFallsBackToReadWhereNothingCanBeMapped) {
  std::string status = read_text_file("/proc/version");  // procfs: no mmap
  std::unique_ptr<ByteSource> proc = open_windowed_source("/proc/version", status.size());
  EXPECT_FALSE(proc->window()->map(0, 5));
  SourceReader reader(*proc, 64);
  std::optional<Bytes> bytes = reader.bytes(3, 20);
  ASSERT_TRUE(bytes);
  EXPECT_EQ(as_text(*bytes), std::string_view(status).substr(3, 20));
  EXPECT_FALSE(reader.bytes(0, 65)) << "more than was announced";
}

TEST_F(WindowTest, DumpIsReadTheSameWay) {
  std::vector<uint8_t> bytes = build(RawElf{.segments = {pattern_segment(0x100, 64)}});
  write_file_atomic(temporary("windowed-dump"), bytes);
  std::unique_ptr<Dump> dump = open_dump(open_windowed_source(temporary("windowed-dump"), bytes.size()));
  for (uint64_t pfn = 0x100; pfn < 0x140; ++pfn) EXPECT_TRUE(has_pattern(*dump, pfn)) << pfn;
}

TEST(OpenDump, SaysWhatIsWrongWithTheFile) {
  EXPECT_EQ(code_of(temporary("does-not-exist")), Errc::missing);
  EXPECT_EQ(code_of(testing::TempDir()), Errc::unsupported);
  write_file_atomic(temporary("empty"), {});
  EXPECT_NE(error_of([&] { open_dump(temporary("empty")); }).find("empty"), std::string::npos);
  write_file_atomic(temporary("text"), as_bytes("hello, this is no dump"));
  EXPECT_NE(error_of([&] { open_dump(temporary("text")); }).find("68 65 6c 6c 6f"), std::string::npos);
  write_file_atomic(temporary("gzip"), as_bytes("\x1f\x8b\x08 more"));
  EXPECT_NE(error_of([&] { open_dump(temporary("gzip")); }).find("gzip"), std::string::npos);
  EXPECT_NE(error_of([&] { open_dump(std::vector<std::filesystem::path>{}); }).find("no dump file"),
            std::string::npos);
}

TEST(OpenDump, FifoIsRefusedWithoutWaitingForAWriter) {
  std::filesystem::path fifo = temporary("fifo");
  ::unlink(fifo.c_str());
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  EXPECT_EQ(code_of(fifo), Errc::unsupported);
  ::unlink(fifo.c_str());
}

TEST(OpenDump, NoPermissionIsSaid) {
  write_file_atomic(temporary("denied"), as_bytes("x"), 0);
  bool root = ::geteuid() == 0;  // who may read everything: look as nobody
  if (root) {
    ASSERT_EQ(::seteuid(65534), 0);
  }
  EXPECT_EQ(code_of(temporary("denied")), Errc::denied);
  if (root) {
    ASSERT_EQ(::seteuid(0), 0);
  }
}

TEST(OpenDump, ElfFilesAreNotPartsOfASet) {
  write_file_atomic(temporary("elf"), build(RawElf{.segments = {pattern_segment(1, 1)}}));
  EXPECT_NE(error_of([&] {
              open_dump({temporary("elf"), temporary("elf")});
            }).find("among several"),
            std::string::npos);
}

// --- the building blocks of the readers

TEST(ExtentMap, AgreesWithPaintingEveryAddress) {
  std::mt19937 random(7);
  for (int round = 0; round < 300; ++round) {
    std::vector<Extent> input;
    std::vector<std::pair<uint64_t, uint64_t>> best(64, {0, 0});  // rank + 1, target
    for (uint64_t i = 0; i < random() % 12; ++i) {
      uint64_t begin = random() % 64, end = std::min<uint64_t>(64, begin + random() % 24);
      input.push_back({begin, end, 1000 * i, i});
      for (uint64_t a = begin; a < end; ++a) best[a] = {i + 1, 1000 * i + (a - begin)};
    }
    std::shuffle(input.begin(), input.end(), random);
    ExtentMap map(input);
    for (uint64_t a = 0; a < 64; ++a) {
      const Extent* e = map.find(a);
      bool inside = e != nullptr && e->begin <= a;
      ASSERT_EQ(inside, best[a].first != 0) << round << " " << a;
      if (inside) {
        ASSERT_EQ(e->target + (a - e->begin), best[a].second);
      }
      if (e != nullptr) {
        ASSERT_LT(a, e->end);
      }
    }
  }
}

TEST(ExtentMap, EqualRanksDoNotCutEachOther) {
  ExtentMap map({{0, 100, 0, 5}, {40, 60, 5000, 5}});
  EXPECT_EQ(map.extents().size(), 1u);
}

TEST(RankedBitmap, CountsOnlyItsRange) {
  std::mt19937_64 random(3);
  std::vector<uint64_t> words(100);
  for (uint64_t& w : words) w = random() & random();
  for (auto [begin, end] :
       {std::pair<uint64_t, uint64_t>{0, 6400}, {0, 1}, {63, 65}, {700, 5000}, {640, 640}}) {
    std::vector<uint64_t> slice(words.begin() + static_cast<std::ptrdiff_t>(begin / 64), words.end());
    RankedBitmap bitmap(slice, {{begin}, {end}});
    uint64_t count = 0;
    for (uint64_t pfn = 0; pfn < 6500; ++pfn) {
      bool set = pfn >= begin && pfn < end && ((words[pfn / 64] >> (pfn % 64)) & 1) != 0;
      ASSERT_EQ(bitmap.test(Pfn{pfn}), set) << pfn;
      if (pfn >= begin && pfn < end) {
        ASSERT_EQ(bitmap.rank(Pfn{pfn}), count) << pfn;
      }
      count += set;
    }
    EXPECT_EQ(bitmap.count(), count);
  }
}

TEST(RankedBitmap, RangesAreTheRunsOfBits) {
  EXPECT_EQ(bitmap_ranges({0, ~uint64_t{0}, 1, uint64_t{0b0110}, uint64_t{1} << 63}),
            (std::vector<PfnRange>{{{64}, {129}}, {{193}, {195}}, {{319}, {320}}}));
  EXPECT_TRUE(bitmap_ranges({0, 0}).empty());
}

}  // namespace
}  // namespace kdk::test
