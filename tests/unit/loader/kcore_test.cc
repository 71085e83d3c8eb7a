#include "loader/machine/kcore.h"

#include <gtest/gtest.h>

#include "core/base/error.h"
#include "loader/plan/addresses.h"
#include "loader/plan/elf64.h"
#include "tests/support/fake_machine.h"

namespace kdk {
namespace {

using testing::FakeMachine;

Kcore parse(const std::vector<uint8_t>& bytes) {
  return parse_kcore([&](uint64_t offset, uint64_t size) {
    Bytes rest = offset < bytes.size() ? Bytes(bytes).subspan(offset) : Bytes();
    Bytes part = rest.first(std::min<uint64_t>(size, rest.size()));
    return std::vector<uint8_t>(part.begin(), part.end());
  });
}

TEST(Kcore, ReadsSegmentsAndVmcoreinfo) {
  FakeMachine fake;
  Kcore kcore = parse(fake.kcore_bytes());
  EXPECT_EQ(kcore.machine, elf64::machine_aarch64);
  ASSERT_EQ(kcore.segments.size(), 2u);  // vmalloc has no physical address
  EXPECT_EQ(kcore.segments[0].paddr, testing::fake_image_paddr);
  EXPECT_EQ(kcore.vmcoreinfo, fake.vmcoreinfo);
}

TEST(Kcore, TruncatedAnywhereIsAnErrorOrLosesTheNoteOnly) {
  FakeMachine fake;
  std::vector<uint8_t> whole = fake.kcore_bytes();
  uint64_t note_end = whole.size() - (align_up(fake.vmcoreinfo.size(), 4) - fake.vmcoreinfo.size());
  uint64_t headers = sizeof(elf64::Header) + 4 * sizeof(elf64::ProgramHeader);
  for (uint64_t size = 0; size < note_end; ++size) {
    std::vector<uint8_t> cut(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(size));
    if (size < headers) {
      EXPECT_THROW(parse(cut), Error) << size;
    } else {
      EXPECT_LT(parse(cut).vmcoreinfo.size(), fake.vmcoreinfo.size()) << size;
    }
  }
}

TEST(Kcore, RefusesWhatTheKernelNeverWrites) {
  std::vector<uint8_t> good = FakeMachine().kcore_bytes();
  auto broken = [&](uint64_t offset, auto value) {
    std::vector<uint8_t> bytes = good;
    store(bytes, offset, value);
    return bytes;
  };
  EXPECT_THROW(parse(broken(0, ul32(0))), Error);                        // magic
  EXPECT_THROW(parse(broken(4, uint8_t{1})), Error);                     // 32-bit
  EXPECT_THROW(parse(broken(5, uint8_t{2})), Error);                     // big-endian
  EXPECT_THROW(parse(broken(16, ul16(2))), Error);                       // an executable
  EXPECT_THROW(parse(broken(54, ul16(32))), Error);                      // program header size
  EXPECT_THROW(parse(broken(56, ul16(0xffff))), Error);                  // PN_XNUM
  EXPECT_THROW(parse(broken(64 + 32, ul64(1 << 30))), Error);            // notes of 1 GiB
  EXPECT_THROW(parse(broken(64 + 56 + 40, ul64(~uint64_t{0}))), Error);  // a segment that wraps
}

Machine machine_of(const FakeMachine& fake) {
  testing::TempDir dir;
  fake.write(dir.path());
  return read_machine(SysRoot(dir.path()));
}

TEST(Addresses, FromKcoreWithoutAnySymbol) {
  FakeMachine fake;
  fake.kallsyms = "";
  KernelAddresses found = find_addresses(machine_of(fake));
  EXPECT_EQ(found.problems, std::vector<std::string>{});
  EXPECT_EQ(found.linear_offset, testing::fake_linear_offset);
  ASSERT_TRUE(found.image);
  EXPECT_EQ(found.image->vaddr, testing::fake_image_paddr + testing::fake_image_voffset);
  EXPECT_EQ(found.image->memory, (Range{testing::fake_image_paddr, testing::fake_image_size}));
  EXPECT_EQ(found.source, "/proc/kcore");
}

TEST(Addresses, WithoutKcoreKallsymsGivesTheImageButNoLinearMap) {
  FakeMachine fake;
  fake.kcore = false;
  KernelAddresses found = find_addresses(machine_of(fake));
  EXPECT_FALSE(found.linear_offset);
  ASSERT_TRUE(found.image);
  // "Kernel code" begins at _stext here, 64 KiB behind the image's base.
  EXPECT_EQ(found.image->memory.start, 0x40210000u);
  EXPECT_EQ(found.image->memory.end(), 0x42440000u);
  EXPECT_EQ(found.image->vaddr - found.image->memory.start, testing::fake_image_voffset);
  EXPECT_EQ(found.problems.size(), 2u);
}

TEST(Addresses, WithoutKcoreOlderMeaningOfKernelCode) {
  FakeMachine fake;
  fake.kcore = false;
  fake.iomem.replace(fake.iomem.find("40210000-"), 9, "40200000-");
  KernelAddresses found = find_addresses(machine_of(fake));
  ASSERT_TRUE(found.image);
  EXPECT_EQ(found.image->vaddr - found.image->memory.start, testing::fake_image_voffset);
}

TEST(Addresses, HiddenSymbolIsAbsentNotZero) {
  FakeMachine fake;
  fake.kcore = false;
  fake.kallsyms = "0000000000000000 T _stext\n";
  KernelAddresses found = find_addresses(machine_of(fake));
  EXPECT_FALSE(found.image);
  EXPECT_FALSE(found.linear_offset);
}

TEST(Addresses, DisagreementDropsTheValueAndSaysSo) {
  FakeMachine fake;
  fake.vmcoreinfo.replace(fake.vmcoreinfo.find("0xffffd775c2800000"), 18, "0xffffd775c2a00000");
  KernelAddresses found = find_addresses(machine_of(fake));
  EXPECT_FALSE(found.image);
  EXPECT_TRUE(found.linear_offset);
  ASSERT_EQ(found.problems.size(), 1u);
  EXPECT_NE(found.problems[0].find("kimage_voffset"), std::string::npos);

  fake = FakeMachine();
  fake.kallsyms = "ffff000000000000 T _stext\n";
  found = find_addresses(machine_of(fake));
  EXPECT_FALSE(found.image);

  fake = FakeMachine();
  fake.vmcoreinfo.replace(fake.vmcoreinfo.find("0xfff0f4f000000000"), 18, "0xfff0f4f040000000");
  found = find_addresses(machine_of(fake));
  EXPECT_FALSE(found.linear_offset);
}

}  // namespace
}  // namespace kdk
