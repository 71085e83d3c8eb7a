#include "loader/image/initrd.h"

#include <gtest/gtest.h>

#include "core/base/error.h"
#include "tests/support/fake_link.h"

namespace kdk {
namespace {

using testing::fake_cpio;
using testing::fake_cpio_with_links;
using testing::FakeFile;

constexpr uint64_t no_limit = uint64_t{1} << 40;
const std::vector<FakeFile> files = {
    {"bin", 0, 0040755}, {"bin/busybox", 100000}, {"init", 10}, {"etc/link", 7, 0120777}, {"empty", 0}};

std::vector<uint8_t> operator+(std::vector<uint8_t> a, const std::vector<uint8_t>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

InitrdEstimate estimate(const std::vector<uint8_t>& initrd, uint64_t page = 4096, uint64_t limit = no_limit) {
  return estimate_initrd(initrd, page, "init", limit);
}

TEST(Initrd, PlainArchiveInWholePages) {
  InitrdEstimate result = estimate(fake_cpio(files));
  EXPECT_EQ(result.files, 2u);
  EXPECT_EQ(result.memory, align_up(100000, 4096) + 4096);
  EXPECT_TRUE(result.has_init);
  EXPECT_TRUE(result.exact);
  EXPECT_EQ(estimate(fake_cpio(files), 65536).memory, 2u * 65536 + 65536);
}

TEST(Initrd, PackedAndConcatenatedMembers) {
  std::vector<uint8_t> early = fake_cpio({{"kernel/microcode", 5000}});
  early.resize(early.size() + 512);  // padding as in real early archives
  for (const std::vector<uint8_t>& main :
       {testing::gzip(fake_cpio(files)), testing::zstd(fake_cpio(files))}) {
    InitrdEstimate result =
        estimate(early + main + std::vector<uint8_t>(100) + testing::gzip(fake_cpio({{"x", 1}})));
    ASSERT_EQ(result.members.size(), 3u);
    EXPECT_EQ(result.members[0].format, PackFormat::none);
    EXPECT_EQ(result.members[1].offset, early.size());
    EXPECT_EQ(result.members[1].packed_size, main.size());
    EXPECT_EQ(result.members[1].unpacked_size, fake_cpio(files).size());
    EXPECT_EQ(result.files, 4u);
    EXPECT_EQ(result.memory, 8192 + align_up(100000, 4096) + 4096 + 4096);
  }
}

TEST(Initrd, ArchivesInsideOneCompressedMember) {
  std::vector<uint8_t> two = fake_cpio({{"a", 1}}) + std::vector<uint8_t>(512) + fake_cpio({{"b", 1}});
  EXPECT_EQ(estimate(testing::gzip(two)).files, 2u);
}

TEST(Initrd, InitIsFoundUnderItsSpellings) {
  for (const char* name : {"init", "/init", "./init"})
    EXPECT_TRUE(estimate(fake_cpio({{name, 5}})).has_init) << name;
  EXPECT_TRUE(
      estimate(fake_cpio_with_links({{"sbin", 0, 0040755}, {"sbin/init", 5}}, {{"init", "sbin/init"}}))
          .has_init);
  EXPECT_FALSE(estimate(fake_cpio_with_links({}, {{"init", "sbin/init"}})).has_init);
  EXPECT_FALSE(estimate(fake_cpio({{"init", 0, 0040755}})).has_init);  // a directory
  EXPECT_FALSE(estimate(fake_cpio({{"sbin/init", 5}})).has_init);
}

TEST(Initrd, InitBehindLinksOfAnotherMember) {
  // As merged-/usr systems have it: /bin is a link, and the link comes in a member of its own.
  const std::vector<uint8_t> links = fake_cpio_with_links({}, {{"bin", "usr/bin"}, {"loop", "/loop"}});
  const std::vector<uint8_t> programs =
      fake_cpio({{"usr", 0, 0040755}, {"usr/bin", 0, 0040755}, {"usr/bin/kdump-init", 9000}});
  for (const std::vector<uint8_t>& initrd : {links + programs, programs + testing::gzip(links)}) {
    const InitrdEstimate result = estimate_initrd(initrd, 4096, "bin/kdump-init", no_limit);
    EXPECT_TRUE(result.has_init);
    EXPECT_EQ(result.files, 1u);
    EXPECT_FALSE(estimate_initrd(initrd, 4096, "bin/other", no_limit).has_init);
    try {
      (void)estimate_initrd(initrd, 4096, "loop/init", no_limit);
      FAIL() << "a loop was followed";
    } catch (const Error& e) {
      EXPECT_NE(
          e.message().find(
              "/loop/init (rdinit=, default /init) leads through too many symbolic links, the last is /loop"),
          std::string::npos)
          << e.message();
    }
  }
}

TEST(Initrd, MoreNamesThanAreLookedAt) {
  std::vector<testing::FakeFile> many;
  for (unsigned i = 0; i < 9000; ++i) many.push_back({std::string(4000, 'x') + std::to_string(i), 0});
  const InitrdEstimate result = estimate(testing::zstd(fake_cpio(many)));
  EXPECT_FALSE(result.has_init);
  EXPECT_FALSE(result.exact) << "so nobody says that it is missing";
}

TEST(Initrd, StopsAtTheLimit) {
  // 64 MiB of zeros pack into little: without the limit a small file could make us count for hours.
  std::vector<uint8_t> bomb = testing::zstd(fake_cpio({{"a", 32 << 20}, {"b", 32 << 20}}));
  EXPECT_LT(bomb.size(), 1u << 20);
  InitrdEstimate result = estimate(bomb, 4096, 16 << 20);
  EXPECT_TRUE(result.over_limit);
  EXPECT_LT(result.members[0].unpacked_size, 33u << 20);
}

TEST(Initrd, TruncatedAnywhere) {
  std::vector<uint8_t> cpio = fake_cpio_with_links({{"init", 100}, {"b", 50}}, {{"c", "init"}});
  std::vector<uint8_t> packed = testing::gzip(cpio);
  for (size_t size = 1; size < packed.size(); ++size) {
    EXPECT_THROW(estimate({packed.begin(), packed.begin() + static_cast<ptrdiff_t>(size)}), Error) << size;
  }
  size_t whole_entries = 0;
  for (size_t size = 1; size < cpio.size(); ++size) {
    try {
      estimate({cpio.begin(), cpio.begin() + static_cast<ptrdiff_t>(size)});
      ++whole_entries;  // cut exactly between entries: the kernel would not notice either
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), Errc::format);
    }
  }
  EXPECT_EQ(whole_entries, 3u);
}

TEST(Initrd, DamagedContent) {
  std::vector<uint8_t> cpio = fake_cpio({{"init", 100}});
  auto broken = [&](size_t offset, char value) {
    std::vector<uint8_t> bytes = cpio;
    bytes[offset] = static_cast<uint8_t>(value);
    return bytes;
  };
  EXPECT_THROW(estimate(broken(0, 'x')), Error);          // no member at all
  EXPECT_THROW(estimate(broken(5, '7')), Error);          // the old "070707" format
  EXPECT_THROW(estimate(broken(6 + 8 * 6, 'g')), Error);  // a size that is not hexadecimal
  EXPECT_THROW(estimate(broken(6 + 8 * 6, '+')), Error);
  EXPECT_THROW(estimate(broken(6 + 8 * 11, '7')), Error);  // a name of 1.8 GiB
  EXPECT_THROW(estimate(broken(110 + 4, 'x')), Error);     // a name without NUL
  EXPECT_THROW(estimate(testing::gzip(broken(5, '9'))), Error);
  EXPECT_THROW(estimate(cpio + std::vector<uint8_t>{'j', 'u', 'n', 'k'}), Error);
  std::vector<uint8_t> flipped = testing::gzip(cpio);
  flipped[flipped.size() - 6] ^= 1;  // the stored checksum
  EXPECT_THROW(estimate(flipped), Error);
}

TEST(Initrd, FormatsJudgedByWhatTheyDeclare) {
  // `printf 'A%.0s' {1..70000} | xz` ends in an index of one record; built by hand: unpadded size 0x80, 70000
  // bytes.
  std::vector<uint8_t> xz = {0xfd, '7', 'z', 'X', 'Z', 0, 0, 4};
  xz.resize(8 + 0x80);
  std::vector<uint8_t> index = {0, 1, 0x80, 0x01, 0xf0, 0xa2, 0x04, 0, 1, 2, 3, 4};
  std::vector<uint8_t> footer = {1, 2, 3, 4, 2, 0, 0, 0, 0, 4, 'Y', 'Z'};
  InitrdEstimate result = estimate(fake_cpio({{"early", 1}}) + xz + index + footer);
  EXPECT_EQ(result.memory, 4096u + 70000);
  EXPECT_FALSE(result.exact);
  EXPECT_TRUE(result.bounded);

  std::vector<uint8_t> lzma = {0x5d, 0, 0, 0x80, 0, 0x39, 0x30, 0, 0, 0, 0, 0, 0, 1, 2, 3};
  EXPECT_EQ(estimate(lzma).memory, 12345u);
  std::fill_n(lzma.begin() + 5, 8, 0xff);  // size not stored
  EXPECT_FALSE(estimate(lzma).bounded);
  EXPECT_FALSE(estimate({0x02, 0x21, 0x4c, 0x18, 1, 0, 0, 0}).bounded);  // lz4
  EXPECT_FALSE(estimate({'B', 'Z', 'h', '9'}).bounded);
}

}  // namespace
}  // namespace kdk
