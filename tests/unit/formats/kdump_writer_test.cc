#include "core/formats/kdump_writer.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <set>
#include <thread>

#include "core/base/error.h"
#include "tests/unit/formats/raw_dump.h"

namespace kdk::test {
namespace {

// A file in memory that can be looked at and opened as a dump.
struct MemoryFile {
  Fd fd{::memfd_create("kdump-writer-test", MFD_CLOEXEC)};
  FileOutput output{fd, "test"};
  std::vector<uint8_t> bytes() const {
    std::vector<uint8_t> content(*file_size(fd));
    EXPECT_EQ(read_at(fd, 0, content, "memory file"), content.size());
    return content;
  }
  std::unique_ptr<Dump> open() const { return open_bytes(bytes()); }
};

uint64_t field(const std::vector<uint8_t>& bytes, uint64_t offset) {
  return *load<ul64>(bytes, offset);
}
uint32_t field32(const std::vector<uint8_t>& bytes, uint64_t offset) {
  return *load<ul32>(bytes, offset);
}

class KdumpWriterTest : public testing::Test {
 protected:
  static constexpr uint64_t end = 0x8010;  // two blocks of bitmap

  KdumpWriterTest() : notes(raw_notes()), ram(end), dumped(end) {
    header.release = "6.12.0-test";
    header.machine = "aarch64";
    header.crash_time = 1234567890;
    header.dump_level = 31;
    header.codec_hint = codec_flag(Codec::zstd);
    header.notes = notes;
    header.end_pfn = end;
    ram.set_range({{0x100}, {0x200}});
    ram.set_range({{0x8000}, {end}});
    for (uint64_t pfn : {0x100, 0x101, 0x17f, 0x8000, 0x800f}) dumped.set(Pfn{pfn});
  }

  PageLocation store_page(const MemoryFile& file, KdumpWriter& writer, uint64_t pfn) {
    std::vector<uint8_t> page = pattern_page(pfn);
    std::unique_ptr<Compressor> compressor = make_compressor(Codec::zstd, 0, raw_page);
    std::vector<uint8_t> out(compressor->max_size());
    size_t size = compressor->compress(page, out);
    uint64_t offset = writer.claim(size);
    write_at(file.fd, offset, Bytes(out).first(size), "test");
    return {offset, static_cast<uint32_t>(size), codec_flag(Codec::zstd)};
  }

  std::vector<uint8_t> notes;
  KdumpHeader header;
  PfnBitmap ram, dumped;
};

TEST_F(KdumpWriterTest, WhatIsWrittenIsRead) {
  MemoryFile file;
  KdumpWriter writer(file.output, "test", header, ram, dumped);
  EXPECT_EQ(writer.descriptors(), 5u);
  // The order of data is free: the last pages first.
  PageLocation high = store_page(file, writer, 0x8000), highest = store_page(file, writer, 0x800f);
  writer.publish(3, std::vector<PageLocation>{high, highest});
  PageLocation low = store_page(file, writer, 0x100);
  writer.publish(0, std::vector<PageLocation>{low, writer.zero_page(), store_page(file, writer, 0x17f)});
  writer.finish(true);
  EXPECT_EQ(writer.size(), file.bytes().size());

  std::unique_ptr<Dump> dump = file.open();
  EXPECT_FALSE(dump->info().incomplete) << dump->info().incomplete_reason;
  EXPECT_TRUE(dump->problems().empty());
  EXPECT_EQ(dump->info().header_version, 6);
  EXPECT_EQ(dump->info().dump_level, 31);
  EXPECT_EQ(dump->info().uts_release, "6.12.0-test");
  EXPECT_EQ(dump->vmcoreinfo().value("OSRELEASE"), "6.12.0-test");
  EXPECT_EQ(dump->ram(), (std::vector<PfnRange>{{{0x100}, {0x200}}, {{0x8000}, {end}}}));
  for (uint64_t pfn : {0x100, 0x17f, 0x8000, 0x800f}) EXPECT_TRUE(has_pattern(*dump, pfn)) << pfn;
  EXPECT_EQ(dump->state(Pfn{0x102}), PageState::excluded);
  std::unique_ptr<PageReader> reader = dump->reader();
  PageView zero = reader->page(Pfn{0x101});
  ASSERT_EQ(zero.state, PageState::present);
  EXPECT_TRUE(std::all_of(zero.bytes.begin(), zero.bytes.end(), [](uint8_t b) { return b == 0; }));
}

// Offsets that other programs rely on, written down from the format's description.
TEST_F(KdumpWriterTest, FieldsAreWhereOtherReadersLook) {
  MemoryFile file;
  KdumpWriter writer(file.output, "test", header, ram, dumped);
  writer.finish(true);
  std::vector<uint8_t> bytes = file.bytes();
  EXPECT_EQ(as_text(bytes).substr(0, 8), "KDUMP   ");
  EXPECT_EQ(field32(bytes, 8), 6u);  // header_version
  EXPECT_EQ(as_text(bytes).substr(272, 8), std::string_view("aarch64\0", 8));
  EXPECT_EQ(field(bytes, 408), 1234567890u);         // timestamp
  EXPECT_EQ(field32(bytes, 424), 0x20u);             // status: zstd
  EXPECT_EQ(field32(bytes, 428), 4096u);             // block_size
  EXPECT_EQ(field32(bytes, 432), 1u);                // sub_hdr_size
  EXPECT_EQ(field32(bytes, 436), 4u);                // bitmap_blocks, both
  EXPECT_EQ(field32(bytes, 440), end);               // max_mapnr
  EXPECT_EQ(field32(bytes, 460), 1u);                // nr_cpus
  EXPECT_EQ(field(bytes, 4096 + 48), 4096u + 104);   // offset_note
  EXPECT_EQ(field(bytes, 4096 + 56), notes.size());  // size_note
  EXPECT_EQ(field(bytes, 4096 + 96), end);           // max_mapnr_64
  uint64_t text = field(bytes, 4096 + 32), size = field(bytes, 4096 + 40);
  EXPECT_EQ(as_text(bytes).substr(text, size), "OSRELEASE=6.12.0-test\nPAGESIZE=4096\n");
  EXPECT_EQ(bytes[2 * 4096 + 0x100 / 8], 0xff);  // first bitmap
  EXPECT_EQ(bytes[4 * 4096 + 0x100 / 8], 0x03);  // second bitmap
  EXPECT_EQ(writer.descriptor_offset(), 6u * 4096);
}

TEST_F(KdumpWriterTest, UnfinishedFileSaysSoAndOpens) {
  MemoryFile file;
  KdumpWriter writer(file.output, "test", header, ram, dumped);
  writer.publish(0, std::vector<PageLocation>{store_page(file, writer, 0x100)});
  std::unique_ptr<Dump> dump = file.open();  // as after a crash: finish() was never called
  EXPECT_TRUE(dump->info().incomplete);
  EXPECT_TRUE(has_pattern(*dump, 0x100));
  EXPECT_EQ(dump->state(Pfn{0x8000}), PageState::unreadable);
  writer.finish(false);
  EXPECT_TRUE(file.open()->info().incomplete);
}

TEST_F(KdumpWriterTest, NotesLargerThanABlockMoveTheRest) {
  std::vector<uint8_t> many;
  for (int cpu = 0; cpu < 64; ++cpu) append_note(many, "CORE", nt_prstatus, std::vector<uint8_t>(392));
  append_note(many, "VMCOREINFO", 0, as_bytes("PAGESIZE=4096\n"));
  header.notes = many;
  MemoryFile file;
  KdumpWriter writer(file.output, "test", header, ram, dumped);
  writer.publish(0, std::vector<PageLocation>{store_page(file, writer, 0x100)});
  std::unique_ptr<Dump> dump = file.open();
  EXPECT_EQ(dump->notes().size(), 65u);
  EXPECT_TRUE(has_pattern(*dump, 0x100));
  EXPECT_EQ(field32(file.bytes(), 460), 64u);
}

TEST_F(KdumpWriterTest, LargerPagesWork) {
  header.page_size = 65536;
  std::vector<uint8_t> large = raw_notes("PAGESIZE=65536\n");
  header.notes = large;
  MemoryFile file;
  KdumpWriter writer(file.output, "test", header, ram, dumped);
  std::vector<uint8_t> page = pattern_page(0x100, 65536);
  uint64_t offset = writer.claim(page.size());
  write_at(file.fd, offset, page, "test");
  writer.publish(0, std::vector<PageLocation>{{offset, 65536, 0}});
  EXPECT_TRUE(has_pattern(*file.open(), 0x100));
}

TEST_F(KdumpWriterTest, ThreadsClaimDisjointSpace) {
  MemoryFile file;
  KdumpWriter writer(file.output, "test", header, ram, dumped);
  std::vector<std::vector<uint64_t>> claims(4);
  {
    std::vector<std::jthread> threads;
    for (std::vector<uint64_t>& mine : claims) {
      threads.emplace_back([&] {
        for (int i = 0; i < 1000; ++i) mine.push_back(writer.claim(10));
      });
    }
  }
  std::set<uint64_t> all;
  for (const std::vector<uint64_t>& mine : claims) all.insert(mine.begin(), mine.end());
  ASSERT_EQ(all.size(), 4000u);
  EXPECT_EQ(*all.rbegin() + 10, writer.size());
  EXPECT_EQ(*all.rbegin() - *all.begin(), 3999u * 10);
}

// As many pages as fit, those in front; and no byte beyond the limit.
TEST_F(KdumpWriterTest, ALimitCutsBetweenPages) {
  MemoryFile file;
  const uint64_t data = 7 * 4096 + 4096;  // headers, bitmaps, descriptors, the page of zeros
  header.max_bytes = data + 2 * raw_page + 10;
  KdumpWriter writer(file.output, "test", header, ram, dumped);
  std::vector<uint8_t> pages;
  for (uint64_t pfn : {0x100, 0x17f, 0x800f}) {
    const std::vector<uint8_t> page = pattern_page(pfn);
    pages.insert(pages.end(), page.begin(), page.end());
  }
  const std::vector<Pfn> pfns{{0x100}, {0x17f}, {0x800f}};
  const std::vector<uint64_t> indexes{0, 2, 4};
  std::vector<PackedPage> packed(3);
  for (PackedPage& page : packed) {
    page.kind = PackedPage::Kind::data;
    page.size = raw_page;
  }
  EXPECT_EQ(writer.write({pfns, indexes, packed, pages}), 2u);
  EXPECT_EQ(writer.write({std::span(pfns).last(1), std::span(indexes).last(1), std::span(packed).last(1),
                          Bytes(pages).last(raw_page)}),
            0u);
  writer.finish(false);
  EXPECT_LE(file.bytes().size(), header.max_bytes);
  std::unique_ptr<Dump> dump = file.open();
  EXPECT_TRUE(has_pattern(*dump, 0x100));
  EXPECT_TRUE(has_pattern(*dump, 0x17f));
  EXPECT_EQ(dump->state(Pfn{0x101}), PageState::unreadable);
  EXPECT_EQ(dump->state(Pfn{0x800f}), PageState::unreadable);
  header.max_bytes = data - 1;
  MemoryFile other;
  EXPECT_THROW(KdumpWriter(other.output, "test", header, ram, dumped), Error);
  EXPECT_TRUE(other.bytes().empty());
}

TEST_F(KdumpWriterTest, MisuseIsAnError) {
  MemoryFile file;
  KdumpWriter writer(file.output, "test", header, ram, dumped);
  EXPECT_THROW(writer.publish(4, std::vector<PageLocation>(2)), Error);
  EXPECT_THROW(KdumpWriter(file.output, "test", header, PfnBitmap(end - 1), dumped), Error);
  header.page_size = 1000;
  EXPECT_THROW(KdumpWriter(file.output, "test", header, ram, dumped), Error);
}

TEST_F(KdumpWriterTest, FullDiskIsAnErrorThatNamesTheFile) {
  Fd full = Fd::open("/dev/full", O_WRONLY);
  FileOutput output(full, "target");
  std::string message = error_of([&] { KdumpWriter(output, "target", header, ram, dumped); });
  EXPECT_NE(message.find("target"), std::string::npos);
}

TEST(PfnBitmap, RangesAndCountsAgreeWithSingleBits) {
  PfnBitmap by_range(1000), by_bit(1000);
  for (auto [begin, finish] : {std::pair{0, 1}, {60, 70}, {64, 128}, {130, 513}, {990, 5000}}) {
    by_range.set_range({{static_cast<uint64_t>(begin)}, {static_cast<uint64_t>(finish)}});
    for (int i = begin; i < std::min(finish, 1000); ++i) by_bit.set(Pfn{static_cast<uint64_t>(i)});
  }
  by_range.clear_range({{100}, {300}});
  for (uint64_t i = 100; i < 300; ++i) by_bit.clear(Pfn{i});
  EXPECT_EQ(by_range.words(), by_bit.words());
  uint64_t below = 0;
  for (uint64_t i = 0; i <= 1000; ++i) {
    EXPECT_EQ(by_range.count_below(Pfn{i}), below) << i;
    below += by_range.test(Pfn{i});
  }
  EXPECT_EQ(by_range.count(), below);
  EXPECT_FALSE(by_range.test(Pfn{1000}));
}

}  // namespace
}  // namespace kdk::test
