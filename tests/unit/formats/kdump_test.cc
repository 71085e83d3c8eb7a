// The reader on files put together by hand; what our own writer makes is in kdump_writer_test.cc.
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "core/base/file.h"
#include "tests/unit/formats/raw_dump.h"

namespace kdk::test {
namespace {

PageState state(const Dump& dump, uint64_t pfn) {
  return dump.state(Pfn{pfn});
}

// RAM [0x10, 0x30) with a page in every codec; 0x15 excluded, 0x2000 far away.
RawKdump sample(int version = 6) {
  RawKdump k;
  k.version = version;
  k.end_pfn = 0x2001;
  k.ram = {{{0x10}, {0x30}}, {{0x2000}, {0x2001}}};
  k.dumped = {{0x10, Codec::none},   {0x11, Codec::zlib}, {0x12, Codec::lzo},
              {0x13, Codec::snappy}, {0x14, Codec::zstd}, {0x2000, Codec::zstd}};
  return k;
}

TEST(KdumpReader, ReadsEveryVersionAndCodec) {
  for (int version = 1; version <= 6; ++version) {
    std::unique_ptr<Dump> dump = open_bytes(build(sample(version)));
    EXPECT_EQ(dump->info().format, DumpFormat::kdump_compressed);
    EXPECT_EQ(dump->info().header_version, version);
    EXPECT_EQ(dump->info().dump_level, 31);
    EXPECT_EQ(dump->info().page_size, 4096u);
    EXPECT_EQ(dump->info().elf_machine, 183);
    EXPECT_EQ(dump->info().uts_release, "6.12.0-test");
    EXPECT_EQ(dump->info().uts_nodename, "testhost");
    EXPECT_FALSE(dump->info().incomplete) << dump->info().incomplete_reason;
    EXPECT_EQ(dump->notes().size(), version >= 4 ? 2u : 0u);
    EXPECT_EQ(dump->ram(), (std::vector<PfnRange>{{{0x10}, {0x30}}, {{0x2000}, {0x2001}}}));
    for (uint64_t pfn : {0x10, 0x11, 0x12, 0x13, 0x14, 0x2000}) EXPECT_TRUE(has_pattern(*dump, pfn)) << pfn;
    for (uint64_t pfn : {0x15, 0x2f}) EXPECT_EQ(state(*dump, pfn), PageState::excluded) << pfn;
    for (uint64_t pfn : {0x0, 0x30, 0x1fff, 0x2001, 0x100000})
      EXPECT_EQ(state(*dump, pfn), PageState::missing) << pfn;
  }
}

TEST(KdumpReader, OldFilesHaveVmcoreinfoOutsideTheNotes) {
  RawKdump k = sample(3);
  k.vmcoreinfo_outside_notes = "OSRELEASE=old\n";
  std::unique_ptr<Dump> dump = open_bytes(build(k));
  EXPECT_EQ(dump->vmcoreinfo().value("OSRELEASE"), "old");
  EXPECT_EQ(parse_notes(dump->raw_notes()).back().name, "VMCOREINFO");
}

TEST(KdumpReader, OneBitmapSaysOnlyWhatWasDumped) {
  RawKdump k = sample();
  k.two_bitmaps = false;
  std::unique_ptr<Dump> dump = open_bytes(build(k));
  EXPECT_EQ(dump->ram(), (std::vector<PfnRange>{{{0x10}, {0x15}}, {{0x2000}, {0x2001}}}));
  EXPECT_TRUE(has_pattern(*dump, 0x14));
  EXPECT_EQ(state(*dump, 0x15), PageState::missing);
}

TEST(KdumpReader, DescriptorsMayShareData) {
  std::vector<uint8_t> bytes = build(sample());
  uint64_t table = descriptor_table(sample());
  put(bytes, table + 24, Bytes(bytes).subspan(table, 24));  // page 0x11 points to the data of 0x10
  std::unique_ptr<Dump> dump = open_bytes(bytes);
  std::unique_ptr<PageReader> reader = dump->reader();
  PageView page = reader->page(Pfn{0x11});
  ASSERT_EQ(page.state, PageState::present);
  EXPECT_TRUE(std::equal(page.bytes.begin(), page.bytes.end(), pattern_page(0x10).begin()));
}

// The descriptor's index is a count over the bitmap: every distance to the running counts must be right.
TEST(KdumpReader, FindsPagesInALargeSparseBitmap) {
  RawKdump k;
  k.end_pfn = 40000;
  k.ram = {{{0}, {40000}}};
  for (uint64_t pfn = 3; pfn < k.end_pfn; pfn += 61) k.dumped[pfn] = Codec::lzo;
  for (uint64_t pfn = 511; pfn < 1030; ++pfn) k.dumped[pfn] = Codec::lzo;
  std::unique_ptr<Dump> dump = open_bytes(build(k));
  for (const auto& [pfn, codec] : k.dumped) EXPECT_TRUE(has_pattern(*dump, pfn)) << pfn;
}

TEST(KdumpReader, UnfinishedFileGivesWhatItHas) {
  RawKdump k = sample();
  k.status = 0x8;
  std::vector<uint8_t> bytes = build(k);
  put(bytes, descriptor_table(k) + 2 * 24, std::vector<uint8_t>(24));  // never published
  std::unique_ptr<Dump> dump = open_bytes(bytes);
  EXPECT_TRUE(dump->info().incomplete);
  EXPECT_NE(dump->info().incomplete_reason.find("1 of 6"), std::string::npos)
      << dump->info().incomplete_reason;
  EXPECT_EQ(state(*dump, 0x12), PageState::unreadable);
  EXPECT_EQ(dump->reader()->page(Pfn{0x12}).state, PageState::unreadable);
  EXPECT_TRUE(has_pattern(*dump, 0x13));
}

TEST(KdumpReader, TruncatedFileIsNoticedWithoutAFlag) {
  std::vector<uint8_t> bytes = build(sample());
  bytes.pop_back();
  std::unique_ptr<Dump> dump = open_bytes(bytes);
  EXPECT_TRUE(dump->info().incomplete);
  EXPECT_EQ(state(*dump, 0x2000), PageState::unreadable);
  EXPECT_TRUE(has_pattern(*dump, 0x14));
}

TEST(KdumpReader, BadDescriptorsCostOnePageEach) {
  struct Case {
    const char* what;
    std::function<void(std::vector<uint8_t>&, uint64_t)> damage;
  };
  const Case cases[] = {
      {"offset far outside", [](auto& b, uint64_t d) { put_u64(b, d, ~uint64_t{0}); }},
      {"size zero", [](auto& b, uint64_t d) { put_u32(b, d + 8, 0); }},
      {"size above a page", [](auto& b, uint64_t d) { put_u32(b, d + 8, 0xffffffff); }},
      {"two codecs at once", [](auto& b, uint64_t d) { put_u32(b, d + 12, 0x3); }},
      {"unknown codec", [](auto& b, uint64_t d) { put_u32(b, d + 12, 0x80); }},
      {"compressed data cut", [](auto& b, uint64_t d) { put_u32(b, d + 8, 100); }},
      {"raw data of a wrong size", [](auto& b, uint64_t d) { put_u32(b, d + 12, 0); }},
  };
  for (const Case& c : cases) {
    std::vector<uint8_t> bytes = build(sample());
    c.damage(bytes, descriptor_table(sample()) + 24);
    std::unique_ptr<Dump> dump = open_bytes(bytes);
    EXPECT_EQ(dump->reader()->page(Pfn{0x11}).state, PageState::unreadable) << c.what;
    EXPECT_TRUE(has_pattern(*dump, 0x10)) << c.what;
    EXPECT_TRUE(has_pattern(*dump, 0x12)) << c.what;
  }
}

TEST(KdumpReader, RefusesOtherLayoutsByName) {
  std::vector<uint8_t> big_endian = build(sample());
  put_u32(big_endian, 8, byteswap(uint32_t{6}));
  put_u32(big_endian, 428, byteswap(uint32_t{4096}));
  EXPECT_NE(error_of([&] { open_bytes(big_endian); }).find("big-endian"), std::string::npos);
  std::vector<uint8_t> small = build(sample());
  put_u32(small, 416, 4096);
  put_u32(small, 428, 12345);
  EXPECT_NE(error_of([&] { open_bytes(small); }).find("32-bit"), std::string::npos);
}

TEST(KdumpReader, HostileHeadersAreRefusedWithTheField) {
  auto refusal = [](uint64_t at, uint32_t value) {
    std::vector<uint8_t> bytes = build(sample());
    put_u32(bytes, at, value);
    return error_of([&] { open_bytes(bytes); });
  };
  EXPECT_NE(refusal(8, 1000).find("header_version"), std::string::npos);
  EXPECT_NE(refusal(428, 4097).find("block_size"), std::string::npos);
  EXPECT_NE(refusal(428, 0).find("block_size"), std::string::npos);
  EXPECT_NE(refusal(432, 0).find("sub_hdr_size"), std::string::npos);
  EXPECT_NE(refusal(432, 0x80000000).find("sub_hdr_size"), std::string::npos);
  EXPECT_NE(refusal(436, 0).find("bitmap_blocks"), std::string::npos);
  EXPECT_NE(refusal(436, 0xffffffff).find("bitmaps"), std::string::npos);
}

TEST(KdumpReader, EndBeyondTheBitmapsIsCut) {
  std::vector<uint8_t> bytes = build(sample());
  put_u64(bytes, 4096 + 96, ~uint64_t{0});  // max_mapnr_64
  std::unique_ptr<Dump> dump = open_bytes(bytes);
  EXPECT_EQ(dump->problems().size(), 1u);
  EXPECT_LE(dump->end_pfn().value, 2 * 4096u * 8);
}

TEST(KdumpReader, NotesOutsideTheFileAreIgnored) {
  std::vector<uint8_t> bytes = build(sample());
  put_u64(bytes, 4096 + 48, ~uint64_t{0} - 10);
  std::unique_ptr<Dump> dump = open_bytes(bytes);
  EXPECT_TRUE(dump->notes().empty());
  EXPECT_EQ(dump->problems().size(), 1u);
  EXPECT_TRUE(has_pattern(*dump, 0x13));
}

TEST(KdumpReader, NewerVersionIsReadWithARemark) {
  RawKdump k = sample();
  k.version = 7;
  std::unique_ptr<Dump> dump = open_bytes(build(k));
  EXPECT_TRUE(has_pattern(*dump, 0x14));
  EXPECT_EQ(dump->problems().size(), 1u);
}

// --- split sets

class SplitSet : public testing::Test {
 protected:
  std::vector<uint8_t> part(uint64_t begin, uint64_t end, int version = 6) {
    RawKdump k = sample(version);
    k.split = PfnRange{{begin}, {end}};
    return build(k);
  }
  // Written to files, because open_dump takes several only by path.
  std::unique_ptr<Dump> open(const std::vector<std::vector<uint8_t>>& files) {
    std::vector<std::filesystem::path> paths;
    for (size_t i = 0; i < files.size(); ++i) {
      paths.push_back(std::filesystem::path(testing::TempDir()) / ("kdk-split-" + std::to_string(i)));
      write_file_atomic(paths.back(), files[i]);
    }
    return open_dump(paths);
  }
};

TEST_F(SplitSet, PartsInAnyOrderAreOneDump) {
  for (int version : {2, 6}) {
    // 0x13 is no multiple of 64: counting starts in the middle of a word.
    std::unique_ptr<Dump> dump =
        open({part(0x40, 0x2001, version), part(0, 0x13, version), part(0x13, 0x40, version)});
    EXPECT_EQ(dump->info().split_parts, 3u);
    EXPECT_FALSE(dump->info().incomplete) << dump->info().incomplete_reason;
    for (uint64_t pfn : {0x10, 0x11, 0x12, 0x13, 0x14, 0x2000}) EXPECT_TRUE(has_pattern(*dump, pfn)) << pfn;
    EXPECT_EQ(state(*dump, 0x15), PageState::excluded);
  }
}

TEST_F(SplitSet, OnePartAloneOpensAndNamesTheRest) {
  std::unique_ptr<Dump> dump = open({part(0x13, 0x40)});
  EXPECT_TRUE(dump->info().incomplete);
  ASSERT_EQ(dump->problems().size(), 1u);
  EXPECT_NE(dump->problems()[0].find("0x0 to 0x13, 0x40 to 0x2001"), std::string::npos)
      << dump->problems()[0];
  EXPECT_TRUE(has_pattern(*dump, 0x13));
  EXPECT_EQ(state(*dump, 0x10), PageState::unreadable);
  EXPECT_EQ(state(*dump, 0x2000), PageState::unreadable);
  EXPECT_EQ(state(*dump, 0x5), PageState::missing);
}

TEST_F(SplitSet, WrongCombinationsAreRefused) {
  EXPECT_NE(error_of([&] {
              open({part(0, 0x40), part(0x20, 0x2001)});
            }).find("also in another file"),
            std::string::npos);
  EXPECT_NE(error_of([&] {
              open({part(0, 0x40), build(sample())});
            }).find("not a part of a split set"),
            std::string::npos);
  std::vector<uint8_t> other = part(0x40, 0x2001);
  put(other, 12 + 65, as_bytes("otherhost"));
  EXPECT_NE(error_of([&] {
              open({part(0, 0x40), other});
            }).find("not parts of the same dump"),
            std::string::npos);
}

}  // namespace
}  // namespace kdk::test
