#include <gtest/gtest.h>

#include "core/base/error.h"
#include "tests/unit/formats/raw_dump.h"

namespace kdk::test {
namespace {

const RawElf elf{.segments = {pattern_segment(0x100, 8)}};

TEST(Flattened, CarriesAnElfFileInRecordsOfAnySizeAndOrder) {
  for (size_t record : {17u, 1000u, 4096u, 1000000u}) {
    std::unique_ptr<Dump> dump = open_bytes(flatten(build(elf), record));
    EXPECT_TRUE(dump->info().flattened);
    EXPECT_FALSE(dump->info().incomplete);
    EXPECT_EQ(dump->vmcoreinfo().value("OSRELEASE"), "6.12.0-test");
    for (uint64_t pfn = 0x100; pfn < 0x108; ++pfn) EXPECT_TRUE(has_pattern(*dump, pfn)) << record;
  }
}

TEST(Flattened, CarriesAKdumpFile) {
  RawKdump k;
  k.end_pfn = 0x20;
  k.ram = {{{0}, {0x20}}};
  for (uint64_t pfn = 0; pfn < 0x20; pfn += 3) k.dumped[pfn] = pfn % 2 == 0 ? Codec::zstd : Codec::none;
  std::unique_ptr<Dump> dump = open_bytes(flatten(build(k), 999));
  EXPECT_EQ(dump->info().format, DumpFormat::kdump_compressed);
  for (const auto& [pfn, codec] : k.dumped) EXPECT_TRUE(has_pattern(*dump, pfn)) << pfn;
}

TEST(Flattened, LaterRecordWinsWhereTheyOverlap) {
  std::vector<uint8_t> file = build(elf);
  size_t page = file.size() - 8 * raw_page;  // page frame 0x100
  std::vector<uint8_t> garbage(3000, 0xee), right(file.begin() + static_cast<std::ptrdiff_t>(page) + 500,
                                                  file.begin() + static_cast<std::ptrdiff_t>(page) + 2500);
  std::vector<uint8_t> base = file;
  std::unique_ptr<Dump> dump = open_bytes(build_flattened({{0, base}, {page, garbage}}));
  EXPECT_FALSE(has_pattern(*dump, 0x100));
  // The garbage replaced and then put right again in two overlapping pieces.
  Bytes rest = Bytes(file).subspan(page, 1000), tail = Bytes(file).subspan(page + 2000, 1500);
  dump = open_bytes(build_flattened({{0, base},
                                     {page, garbage},
                                     {page + 500, right},
                                     {page, {rest.begin(), rest.end()}},
                                     {page + 2000, {tail.begin(), tail.end()}}}));
  EXPECT_TRUE(has_pattern(*dump, 0x100));
}

TEST(Flattened, PlacesWithoutRecordAreZeros) {
  std::vector<uint8_t> file = build(elf);
  std::vector<uint8_t> start(file.begin(), file.end() - 8 * raw_page);
  Bytes last = Bytes(file).subspan(file.size() - raw_page);
  std::unique_ptr<Dump> dump =
      open_bytes(build_flattened({{0, start}, {file.size() - raw_page, {last.begin(), last.end()}}}));
  std::unique_ptr<PageReader> reader = dump->reader();
  PageView page = reader->page(Pfn{0x103});
  ASSERT_EQ(page.state, PageState::present);
  EXPECT_EQ(std::count(page.bytes.begin(), page.bytes.end(), 0), raw_page);
  EXPECT_TRUE(has_pattern(*dump, 0x107));
}

TEST(Flattened, TruncatedStreamOpensAsFarAsItGoes) {
  std::vector<RawRecord> records;
  std::vector<uint8_t> file = build(elf);
  for (size_t at = 0; at < file.size(); at += 1024) {
    records.push_back({at,
                       {file.begin() + static_cast<std::ptrdiff_t>(at),
                        file.begin() + static_cast<std::ptrdiff_t>(std::min(at + 1024, file.size()))}});
  }
  std::unique_ptr<Dump> no_end = open_bytes(build_flattened(records, false));
  EXPECT_TRUE(no_end->info().incomplete);
  EXPECT_NE(no_end->info().incomplete_reason.find("without its end mark"), std::string::npos);
  EXPECT_TRUE(has_pattern(*no_end, 0x107));

  std::vector<uint8_t> cut = build_flattened(records);
  cut.resize(cut.size() - 2 * raw_page);
  std::unique_ptr<Dump> dump = open_bytes(cut);
  EXPECT_TRUE(dump->info().incomplete);
  EXPECT_NE(dump->info().incomplete_reason.find("inside a record"), std::string::npos)
      << dump->info().incomplete_reason;
  EXPECT_TRUE(has_pattern(*dump, 0x100));
  EXPECT_EQ(dump->state(Pfn{0x107}), PageState::unreadable);
}

TEST(Flattened, CorruptRecordEndsTheStreamThere) {
  std::vector<RawRecord> records{{0, build(elf)}};
  std::vector<uint8_t> bytes = build_flattened(records, false);
  put_u64_big_endian(bytes, bytes.size(), uint64_t{1} << 63);
  put_u64_big_endian(bytes, bytes.size(), 5);
  std::unique_ptr<Dump> dump = open_bytes(bytes);
  EXPECT_NE(dump->info().incomplete_reason.find("corrupt"), std::string::npos);
  EXPECT_TRUE(has_pattern(*dump, 0x107));
}

// A few bytes that describe a file of exabytes must not make anybody allocate that.
TEST(Flattened, ClaimedSizeIsNotBelieved) {
  RawKdump k;
  k.end_pfn = 8;
  k.ram = {{{0}, {8}}};
  std::vector<uint8_t> file = build(k);
  put_u32(file, 436, 0x7fffffff);  // bitmap_blocks
  std::vector<uint8_t> bytes = build_flattened({{0, file}, {uint64_t{1} << 62, {1}}});
  EXPECT_NE(error_of([&] { open_bytes(bytes); }).find("bitmaps need"), std::string::npos);
}

TEST(Flattened, RefusesOtherVersionsAndOtherContents) {
  std::vector<uint8_t> bytes = build_flattened({{0, build(elf)}});
  bytes[31] = 2;
  EXPECT_NE(error_of([&] { open_bytes(bytes); }).find("version 2"), std::string::npos);
  EXPECT_NE(error_of([&] { open_bytes(build_flattened({})); }).find("does not carry a dump"),
            std::string::npos);
  EXPECT_NE(error_of([&] {
              open_bytes(build_flattened({{0, build_flattened({})}}));
            }).find("does not carry a dump"),
            std::string::npos);
}

}  // namespace
}  // namespace kdk::test
