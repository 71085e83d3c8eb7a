// Writers of flattened streams, split sets and ELF files: what they write is read, field by field where other
// programs look, and every moment of the file is sound.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>

#include "core/base/error.h"
#include "core/formats/elf_writer.h"
#include "core/formats/flattened_replay.h"
#include "core/formats/split_writer.h"
#include "tests/unit/formats/raw_dump.h"

namespace {

// What the next waits for the disk say; 0: what the kernel says.
int disk_error = 0;
unsigned waits = 0;

}  // namespace

// In place of the C library's: a disk that refuses what it took before, which no file here can.
extern "C" int sync_file_range(int fd, off64_t offset, off64_t size, unsigned flags) {
  if ((flags & SYNC_FILE_RANGE_WAIT_AFTER) != 0) {
    ++waits;
    if (disk_error != 0) {
      errno = disk_error;
      return -1;
    }
  }
  return static_cast<int>(::syscall(SYS_sync_file_range, fd, offset, size, flags));
}

namespace kdk::test {
namespace {

struct MemoryFile {
  Fd fd{::memfd_create("output-writers-test", MFD_CLOEXEC)};
  std::vector<uint8_t> bytes() const {
    std::vector<uint8_t> content(*file_size(fd));
    EXPECT_EQ(read_at(fd, 0, content, "memory file"), content.size());
    return content;
  }
};

// Records of a stream as they come: offset and size. Fails the test when it has no end mark.
std::vector<std::pair<uint64_t, uint64_t>> records_of(const std::vector<uint8_t>& stream) {
  std::vector<std::pair<uint64_t, uint64_t>> records;
  for (uint64_t at = 4096; at + 16 <= stream.size();) {
    const uint64_t offset = *load<ub64>(stream, at), size = *load<ub64>(stream, at + 8);
    if (offset == ~uint64_t{0}) {
      EXPECT_EQ(at + 16, stream.size());
      return records;
    }
    records.emplace_back(offset, size);
    at += 16 + size;
  }
  ADD_FAILURE() << "no end mark";
  return records;
}

class OutputWriters : public testing::Test {
 protected:
  static constexpr uint64_t end = 0x1000;

  OutputWriters() : notes(raw_notes()), ram_bits(end), dumped(end) {
    header.machine = "aarch64";
    header.notes = notes;
    header.end_pfn = end;
    elf.machine = 183;
    elf.notes = notes;
    ram = {{{0x100}, {0x400}}, {{0x800}, {end}}};
    for (const PfnRange& range : ram) ram_bits.set_range(range);
    dumped.set_range({{0x110}, {0x120}});
    dumped.set_range({{0x3f0}, {0x400}});
    dumped.set_range({{0x800}, {0x810}});
    for (uint64_t pfn = 0x900; pfn < 0xfff; pfn += 3) dumped.set({pfn});
    for (const PfnRange& run : dumped.ranges()) {
      for (Pfn pfn = run.begin; pfn < run.end; pfn = pfn + 1) pfns.push_back(pfn);
    }
  }

  static bool is_zero(Pfn pfn) { return pfn.value % 16 == 7; }

  // Writes pages [first, last) of `pfns` as one batch, uncompressed; `lost` could not be read.
  void write(PageSink& sink, size_t first, size_t last, Pfn lost = {0}) {
    std::vector<PackedPage> pages;
    std::vector<uint64_t> indexes;
    std::vector<uint8_t> data;
    for (size_t i = first; i < last; ++i) {
      indexes.push_back(i);
      PackedPage page;
      if (is_zero(pfns[i])) {
        page.kind = PackedPage::Kind::zero;
      } else if (pfns[i] != lost) {
        page = {PackedPage::Kind::data, raw_page, 0};
        const std::vector<uint8_t> bytes = pattern_page(pfns[i].value);
        data.insert(data.end(), bytes.begin(), bytes.end());
      }
      pages.push_back(page);
    }
    EXPECT_EQ(sink.write({std::span(pfns).subspan(first, last - first), indexes, pages, data}), pages.size());
  }
  void write_all_pages(PageSink& sink, Pfn lost = {0}) {
    for (size_t first = 0; first < pfns.size(); first += 50)
      write(sink, first, std::min(first + 50, pfns.size()), lost);
  }
  // Pages of `dump` that are present; all must be right, and no page may be present that was not written.
  size_t check(const Dump& dump) {
    const std::unique_ptr<PageReader> reader = dump.reader();
    const std::vector<uint8_t> zeros(raw_page);
    size_t present = 0;
    for (uint64_t p = 0; p < end; ++p) {
      const PageView view = reader->page({p});
      if (view.state != PageState::present) continue;
      ++present;
      EXPECT_TRUE(dumped.test({p})) << p;
      EXPECT_TRUE(std::ranges::equal(view.bytes, is_zero({p}) ? zeros : pattern_page(p))) << p;
    }
    return present;
  }

  std::vector<uint8_t> notes;
  KdumpHeader header;
  ElfCoreHeader elf;
  std::vector<PfnRange> ram;
  PfnBitmap ram_bits, dumped;
  std::vector<Pfn> pfns;
};

TEST_F(OutputWriters, BitmapRangesAreTheRunsOfSetBits) {
  PfnBitmap bits(200);
  EXPECT_TRUE(bits.ranges().empty());
  const std::vector<PfnRange> runs{{{0}, {1}}, {{3}, {64}}, {{65}, {130}}, {{199}, {200}}};
  for (const PfnRange& run : runs) bits.set_range(run);
  EXPECT_EQ(bits.ranges(), runs);
  bits.set_range({{0}, {200}});
  EXPECT_EQ(bits.ranges(), (std::vector<PfnRange>{{{0}, {200}}}));
}

TEST_F(OutputWriters, AStreamIsTheSameFileAndWritesNothingTwice) {
  MemoryFile plain, stream;
  FileOutput plain_output(plain.fd, "plain");
  KdumpWriter writer(plain_output, "plain", header, ram_bits, dumped);
  write_all_pages(writer);
  writer.finish(true);

  FlattenedOutput output(stream.fd, "stream");
  KdumpWriter flat(output, "stream", header, ram_bits, dumped);
  write_all_pages(flat);
  flat.finish(true);
  output.end();
  const std::vector<uint8_t> bytes = stream.bytes();
  EXPECT_EQ(output.stream_bytes(), bytes.size());
  std::map<uint64_t, uint64_t> places;
  for (const auto& [offset, size] : records_of(bytes)) {
    EXPECT_GT(size, 0u);
    EXPECT_TRUE(places.emplace(offset, size).second) << offset;
  }
  uint64_t covered = 0;
  for (const auto& [offset, size] : places) {
    EXPECT_GE(offset, covered);
    covered = offset + size;
  }
  const std::unique_ptr<Dump> dump = open_bytes(bytes);
  EXPECT_TRUE(dump->info().flattened);
  EXPECT_FALSE(dump->info().incomplete) << dump->info().incomplete_reason;
  EXPECT_EQ(check(*dump), pfns.size());

  // Replayed through a reader that gives a few bytes at a time.
  MemoryFile again;
  FileOutput again_output(again.fd, "again");
  size_t at = 0;
  const Replayed replayed = replay_flattened(
      [&](MutableBytes out) {
        const size_t n = std::min(out.size(), bytes.size() - at);
        std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(at), n, out.begin());
        at += n;
        return n;
      },
      "stream", again_output);
  EXPECT_EQ(replayed.incomplete_reason, "");
  EXPECT_EQ(replayed.size, plain.bytes().size());
  EXPECT_TRUE(again.bytes() == plain.bytes());
}

// Wherever a stream is cut: it opens as incomplete once its headers are there, and what it shows is right.
TEST_F(OutputWriters, ACutStreamIsIncompleteAndRight) {
  MemoryFile stream;
  FlattenedOutput output(stream.fd, "stream");
  KdumpWriter flat(output, "stream", header, ram_bits, dumped);
  const uint64_t headers = output.stream_bytes();
  write_all_pages(flat);
  flat.finish(true);
  output.end();
  const std::vector<uint8_t> bytes = stream.bytes();
  size_t most = 0;
  for (uint64_t size = headers; size < bytes.size();
       size += std::max<uint64_t>(1, (bytes.size() - size) / 7)) {
    const std::unique_ptr<Dump> dump =
        open_bytes({bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size)});
    EXPECT_TRUE(dump->info().incomplete) << size;
    most = std::max(most, check(*dump));
  }
  EXPECT_EQ(most, pfns.size());
}

TEST_F(OutputWriters, AStreamThatEndsEarlySaysIncompleteInItsHeader) {
  MemoryFile stream;
  FlattenedOutput output(stream.fd, "stream");
  KdumpWriter flat(output, "stream", header, ram_bits, dumped);
  write(flat, 0, 50);
  flat.finish(false);
  output.end();
  records_of(stream.bytes());
  const std::unique_ptr<Dump> dump = open_bytes(stream.bytes());
  EXPECT_NE(dump->info().incomplete_reason.find("INCOMPLETE"), std::string::npos);
  EXPECT_EQ(check(*dump), 50u);
}

// No room in the middle of a record (a file that must not grow): the record is taken back.
TEST_F(OutputWriters, AHalfRecordIsTakenBack) {
  MemoryFile sealed{Fd(::memfd_create("sealed", MFD_CLOEXEC | MFD_ALLOW_SEALING))};
  ASSERT_EQ(::ftruncate(sealed.fd.get(), 1 << 20), 0);
  FlattenedOutput small(sealed.fd, "small");
  KdumpWriter writer(small, "small", header, ram_bits, dumped);
  write(writer, 0, 50);
  const uint64_t good = small.stream_bytes();
  ASSERT_EQ(::ftruncate(sealed.fd.get(), static_cast<off_t>(good + 5000)), 0);
  ASSERT_EQ(::fcntl(sealed.fd.get(), F_ADD_SEALS, F_SEAL_GROW), 0);
  EXPECT_THROW(write(writer, 50, 100), Error);
  EXPECT_THROW(write(writer, 100, 150), Error);  // the stream stays cut
  ASSERT_TRUE(small.recover());
  EXPECT_EQ(*file_size(sealed.fd), good);
}

TEST_F(OutputWriters, ReplayRefusesWhatIsNoStreamAndStopsAtNonsense) {
  const auto replay = [](std::vector<uint8_t> bytes, DumpOutput& output) {
    size_t at = 0;
    return replay_flattened(
        [&](MutableBytes out) {
          const size_t n = std::min(out.size(), bytes.size() - at);
          std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(at), n, out.begin());
          at += n;
          return n;
        },
        "stream", output);
  };
  NullOutput nowhere;
  EXPECT_THROW(replay({}, nowhere), Error);
  EXPECT_THROW(replay(std::vector<uint8_t>(8192), nowhere), Error);
  std::vector<uint8_t> stream =
      build_flattened({{0, std::vector<uint8_t>(100, 1)}, {50, std::vector<uint8_t>(10)}});
  EXPECT_EQ(replay(stream, nowhere).size, 100u);
  std::vector<uint8_t> other_type = stream;
  put_u64_big_endian(other_type, 16, 2);
  EXPECT_THROW(replay(other_type, nowhere), Error);
  std::vector<uint8_t> impossible = stream;
  put_u64_big_endian(impossible, 4096 + 16 + 100, ~uint64_t{0} - 5);  // the second record's offset
  EXPECT_NE(replay(impossible, nowhere).incomplete_reason.find("corrupt"), std::string::npos);
  for (size_t size = 4096; size < stream.size(); ++size) {
    const Replayed cut =
        replay({stream.begin(), stream.begin() + static_cast<std::ptrdiff_t>(size)}, nowhere);
    EXPECT_NE(cut.incomplete_reason, "") << size;
    EXPECT_LE(cut.size, 100u);
  }
}

TEST_F(OutputWriters, SplitRangesAreBalancedAndAligned) {
  for (size_t parts : {1, 2, 3, 7, 64}) {
    const std::vector<PfnRange> ranges = split_ranges(dumped, parts);
    ASSERT_EQ(ranges.size(), parts);
    uint64_t at = 0, pages = 0;
    for (const PfnRange& range : ranges) {
      EXPECT_EQ(range.begin.value, at);
      EXPECT_EQ(at % 64, 0u);
      EXPECT_GT(range.count(), 0u);
      at = range.end.value;
      const uint64_t here = dumped.count_below(range.end) - dumped.count_below(range.begin);
      if (parts <= 7) {
        EXPECT_LE(here, pfns.size() / parts + 64) << parts;
      }
      pages += here;
    }
    EXPECT_EQ(at, end);
    EXPECT_EQ(pages, pfns.size());
  }
  EXPECT_THROW(split_ranges(dumped, end / 64 + 1), Error);
  EXPECT_THROW(split_ranges(dumped, 0), Error);
  EXPECT_EQ(split_ranges(PfnBitmap(640), 3).size(), 3u);  // nothing dumped at all
}

TEST_F(OutputWriters, ASplitSetHasOneHeaderAndAllPages) {
  MemoryFile files[3];
  std::vector<std::unique_ptr<FileOutput>> outputs;
  std::vector<DumpOutput*> pointers;
  for (MemoryFile& file : files) {
    outputs.push_back(std::make_unique<FileOutput>(file.fd, "part"));
    pointers.push_back(outputs.back().get());
  }
  SplitWriter writer(pointers, {"1", "2", "3"}, header, ram_bits, dumped);
  write_all_pages(writer);
  writer.finish(true);
  std::vector<std::filesystem::path> paths;
  uint64_t bytes = 0;
  std::vector<uint8_t> first = files[0].bytes();
  for (const MemoryFile& file : files) {
    const std::vector<uint8_t> content = file.bytes();
    bytes += content.size();
    EXPECT_TRUE(std::equal(content.begin(), content.begin() + 4096, first.begin()));
    EXPECT_EQ(*load<ul32>(content, 4096 + 12), 1u);       // split
    EXPECT_EQ(*load<ul64>(content, 4096 + 80) % 64, 0u);  // start_pfn_64
    EXPECT_TRUE(open_bytes(content)->info().incomplete);  // alone
    paths.emplace_back("/proc/self/fd/" + std::to_string(file.fd.get()));
  }
  EXPECT_EQ(bytes, writer.size());
  std::swap(paths[0], paths[2]);
  const std::unique_ptr<Dump> dump = open_dump(paths);
  EXPECT_FALSE(dump->info().incomplete) << dump->info().incomplete_reason;
  EXPECT_EQ(check(*dump), pfns.size());
  writer.finish(false);
  for (const MemoryFile& file : files) EXPECT_EQ(*load<ul32>(file.bytes(), 424) & 8, 8u);
}

TEST_F(OutputWriters, AnElfFileHasTheWrittenPagesAndNoOthers) {
  elf.linear_offset = 0xffff000000000000;
  elf.mappings = {{0xffff800080000000, {{0x118}, {0x140}}}};
  MemoryFile file;
  FileOutput output(file.fd, "elf");
  ElfWriter writer(output, "elf", elf, ram, dumped);
  write_all_pages(writer);
  // Before the end nothing is claimed.
  std::unique_ptr<Dump> dump = open_bytes(file.bytes());
  EXPECT_TRUE(dump->info().incomplete);
  EXPECT_EQ(check(*dump), 0u);
  EXPECT_EQ(dump->ram(), ram);

  writer.finish(true);
  const std::vector<uint8_t> bytes = file.bytes();
  EXPECT_EQ(bytes.size(), writer.size());
  dump = open_bytes(bytes);
  EXPECT_FALSE(dump->info().incomplete) << dump->info().incomplete_reason;
  EXPECT_TRUE(dump->problems().empty());
  EXPECT_EQ(dump->ram(), ram);
  EXPECT_EQ(dump->info().elf_machine, 183);
  EXPECT_EQ(dump->vmcoreinfo().value("OSRELEASE"), "6.12.0-test");
  EXPECT_EQ(check(*dump), pfns.size());
  EXPECT_EQ(dump->state({0x130}), PageState::excluded);
  EXPECT_EQ(dump->state({0x100}), PageState::excluded);
  EXPECT_EQ(dump->state({0x500}), PageState::missing);

  // The note first, then the image, then RAM with its linear addresses. p_align 0 is how crash tells a kdump.
  const auto phdr = [&](size_t i, size_t offset) { return *load<ul64>(bytes, 64 + i * 56 + offset); };
  EXPECT_EQ(*load<ul32>(bytes, 64), 4u);
  EXPECT_EQ(phdr(1, 16), 0xffff800080000000u);
  EXPECT_EQ(phdr(1, 24), 0x118000u);
  EXPECT_EQ(phdr(1, 32), 8u * 4096);
  EXPECT_EQ(phdr(1, 48), 0u);
  EXPECT_EQ(phdr(2, 16), 0xffff000000100000u);
  EXPECT_EQ(phdr(2, 32), 0u);  // nothing of the first 16 pages
  EXPECT_EQ(phdr(2, 40), 16u * 4096);
  EXPECT_EQ(phdr(3, 24), 0x110000u);
  EXPECT_EQ(phdr(3, 32), 16u * 4096);     // p_filesz
  EXPECT_EQ(phdr(3, 40), 0x2e0u * 4096);  // p_memsz: up to the next run
}

TEST_F(OutputWriters, LostPagesOfAnElfFileAreNotZeros) {
  MemoryFile file;
  FileOutput output(file.fd, "elf");
  ElfWriter writer(output, "elf", elf, ram, dumped);
  write(writer, 0, 40, {0x3f5});
  writer.finish(false);
  const std::unique_ptr<Dump> dump = open_bytes(file.bytes());
  EXPECT_TRUE(dump->info().incomplete);
  EXPECT_EQ(check(*dump), 39u);
  EXPECT_NE(dump->state({0x3f5}), PageState::present);
  EXPECT_EQ(writer.left_out(), 0u);
}

// More gaps than there is room for: some good pages go, and it is said how many.
TEST_F(OutputWriters, AnElfFileWithTooManyGapsLeavesPagesOut) {
  const PfnRange all{{0}, {8000}};
  dumped = PfnBitmap(8000);
  dumped.set_range(all);
  MemoryFile file;
  FileOutput output(file.fd, "elf");
  ElfWriter writer(output, "elf", elf, {all}, dumped);
  const std::vector<uint8_t> page(raw_page, 1);
  for (uint64_t pfn = 0; pfn < 8000; ++pfn) {
    const Pfn here{pfn};
    PackedPage packed;
    if (pfn % 2 == 0) packed = {PackedPage::Kind::data, raw_page, 0};
    writer.write({{&here, 1}, {&pfn, 1}, {&packed, 1}, pfn % 2 == 0 ? Bytes(page) : Bytes()});
  }
  writer.finish(true);
  EXPECT_GT(writer.left_out(), 2000u);
  const std::unique_ptr<Dump> dump = open_bytes(file.bytes());
  EXPECT_TRUE(dump->info().incomplete);
  uint64_t present = 0;
  for (uint64_t pfn = 0; pfn < 8000; ++pfn) present += dump->state({pfn}) == PageState::present;
  EXPECT_EQ(present, 4000 - writer.left_out());
}

TEST_F(OutputWriters, ManySegmentsAreCountedInTheSectionHeader) {
  constexpr uint64_t pages = 140000;
  dumped = PfnBitmap(pages);
  for (uint64_t pfn = 0; pfn < pages; pfn += 2) dumped.set({pfn});
  MemoryFile file;
  FileOutput output(file.fd, "elf");
  ElfWriter writer(output, "elf", elf, {{{0}, {pages}}}, dumped);
  std::vector<Pfn> all;
  std::vector<uint64_t> indexes;
  for (uint64_t pfn = 0; pfn < pages; pfn += 2) {
    indexes.push_back(all.size());
    all.push_back({pfn});
  }
  const std::vector<PackedPage> zeros(all.size(), {PackedPage::Kind::zero, 0, 0});
  writer.write({all, indexes, zeros, {}});
  writer.finish(true);
  std::vector<uint8_t> head(64);
  ASSERT_EQ(read_at(file.fd, 0, head, "elf"), head.size());
  EXPECT_EQ(*load<ul16>(head, 56), 0xffffu);
  const std::unique_ptr<Dump> dump = open_dump("/proc/self/fd/" + std::to_string(file.fd.get()));
  EXPECT_FALSE(dump->info().incomplete);
  EXPECT_EQ(dump->state({pages - 2}), PageState::present);
  EXPECT_EQ(dump->state({pages - 1}), PageState::excluded);
}

TEST_F(OutputWriters, PagesShareDataOnlyWithinOneFile) {
  MemoryFile whole, left, right, elf_file;
  FileOutput whole_out(whole.fd, "whole"), left_out(left.fd, "left"), right_out(right.fd, "right");
  FileOutput elf_out(elf_file.fd, "elf");
  const KdumpWriter kdump(whole_out, "whole", header, PfnBitmap(dumped.size()), dumped);
  const SplitWriter split({&left_out, &right_out}, {"left", "right"}, header, PfnBitmap(dumped.size()),
                          dumped);
  const ElfWriter elf_writer(elf_out, "elf", elf, ram, dumped);
  const std::vector<PfnRange> parts = split_ranges(dumped, 2);
  const Pfn first = parts[0].begin, last = {parts[1].end.value - 1};
  EXPECT_TRUE(kdump.shares(first, last));
  EXPECT_TRUE(split.shares(first, {parts[0].end.value - 1}));
  EXPECT_TRUE(split.shares(parts[1].begin, last));
  EXPECT_FALSE(split.shares(first, last));
  EXPECT_FALSE(elf_writer.shares(first, first));
}

TEST_F(OutputWriters, ElfRefusesStreamsAndCompressedPages) {
  MemoryFile stream, file;
  FlattenedOutput flat(stream.fd, "stream");
  EXPECT_THROW(ElfWriter(flat, "elf", elf, ram, dumped), Error);
  FileOutput output(file.fd, "elf");
  ElfWriter writer(output, "elf", elf, ram, dumped);
  const PackedPage small{PackedPage::Kind::data, 100, 1};
  const uint64_t index = 0;
  EXPECT_THROW(writer.write({{pfns.data(), 1}, {&index, 1}, {&small, 1}, std::vector<uint8_t>(100)}), Error);
}

// The kernel tells of it once, to whoever waits first: that is here, not in sync().
TEST(FileOutput, ARefusalOfTheDiskIsNotLost) {
  MemoryFile file;
  FileOutput output(file.fd, "target", true);
  const std::vector<uint8_t> mebibyte(1 << 20, 1);
  uint64_t at = 0;
  waits = 0;
  for (; at < uint64_t{40} << 20; at += mebibyte.size()) output.write(at, mebibyte);
  EXPECT_GT(waits, 0u);
  for (const int error : {EINVAL, ESPIPE, ENOSYS}) {  // of a file system that cannot do it
    disk_error = error;
    for (int i = 0; i < 8; ++i, at += mebibyte.size()) EXPECT_NO_THROW(output.write(at, mebibyte));
  }
  for (const int error : {EIO, ENOSPC}) {
    disk_error = error;
    std::string said;
    for (int i = 0; i < 8; ++i, at += mebibyte.size()) {
      try {
        output.write(at, mebibyte);
      } catch (const Error& e) {
        EXPECT_EQ(e.code(), Errc::io);
        said = e.message();
      }
    }
    EXPECT_NE(said.find("target: writing back offset 0x"), std::string::npos) << said;
  }
  disk_error = 0;
  output.write(at, mebibyte);
  EXPECT_EQ(file.bytes().size(), at + mebibyte.size());
}

// Where the page cache may keep what was written, nobody waits before the end.
TEST(FileOutput, OnlyACrashKernelWaitsOnTheWay) {
  MemoryFile file;
  FileOutput output(file.fd, "target");
  const std::vector<uint8_t> mebibyte(1 << 20, 1);
  waits = 0;
  for (uint64_t at = 0; at < uint64_t{40} << 20; at += mebibyte.size()) output.write(at, mebibyte);
  EXPECT_EQ(waits, 0u);
}

}  // namespace
}  // namespace kdk::test
