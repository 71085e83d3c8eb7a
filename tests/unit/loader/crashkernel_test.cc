#include "loader/reserve/crashkernel.h"

#include <gtest/gtest.h>

#include "core/base/error.h"

namespace kdk {
namespace {

constexpr uint64_t MiB = 1 << 20;
constexpr uint64_t GiB = 1 << 30;

CrashkernelRequest request(std::string_view line, uint64_t ram = 8 * GiB, bool rounds_ram = true) {
  CrashkernelDecision decision = decide_crashkernel(line, ram, rounds_ram);
  EXPECT_TRUE(decision.request) << line << ": " << decision.problem;
  return decision.request.value_or(CrashkernelRequest{});
}

std::string problem(std::string_view line, uint64_t ram = 8 * GiB) {
  CrashkernelDecision decision = decide_crashkernel(line, ram, true);
  EXPECT_FALSE(decision.request) << line;
  return decision.problem;
}

TEST(Crashkernel, SizesAsTheKernelReadsThem) {
  EXPECT_EQ(parse_memory_size("256M"), 256 * MiB);
  EXPECT_EQ(parse_memory_size("0x10000000"), 256 * MiB);
  EXPECT_EQ(parse_memory_size("0400m"), 256 * MiB);  // octal
  EXPECT_EQ(parse_memory_size("262144k"), 256 * MiB);
  EXPECT_EQ(parse_memory_size("0"), 0u);
  EXPECT_EQ(parse_memory_size("15E"), uint64_t{15} << 60);
  for (std::string_view bad : {"", "M256", "256MB", "256 M", "16E", "18446744073709551616", "0x", "-1"}) {
    EXPECT_THROW(parse_memory_size(bad), Error) << bad;
  }
  EXPECT_EQ(memory_size_text(256 * MiB), "256M");
  EXPECT_EQ(memory_size_text(3 * GiB), "3G");
  EXPECT_EQ(memory_size_text(1000), "1000");
}

TEST(Crashkernel, SizeAndOffset) {
  EXPECT_EQ(request("quiet crashkernel=256M ro").size, 256 * MiB);
  EXPECT_EQ(request("crashkernel=64M@16M").offset, 16 * MiB);
  // The kernel does not look at what follows the offset, nor whether there is one.
  EXPECT_EQ(request("crashkernel=64M@16Mfoo").offset, 16 * MiB);
  EXPECT_EQ(request("crashkernel=64M@").offset, 0u);
  CrashkernelDecision odd = decide_crashkernel("crashkernel=64M@16Mfoo", GiB, true);
  EXPECT_NE(odd.options[0].remark.find("\"foo\""), std::string::npos);
}

TEST(Crashkernel, TheCharacterIsNamed) {
  EXPECT_NE(problem("crashkernel=256X").find("\"256X\": character 4 ('X')"), std::string::npos);
  EXPECT_NE(problem("crashkernel=512M-2G64M:").find("character 8 ('6'): ':' expected"), std::string::npos);
  EXPECT_NE(problem("crashkernel=2G-1G:64M").find("character 4 ('1')"), std::string::npos);
  EXPECT_NE(problem("crashkernel=512M-2G:").find("character 9 (the end)"), std::string::npos);
  EXPECT_NE(problem("crashkernel=256M,hihg").find("character 5 (',')"), std::string::npos);
  EXPECT_NE(problem("crashkernel=").find("the end"), std::string::npos);
  EXPECT_NE(problem("crashkernel=M").find("size is 0"), std::string::npos);
}

TEST(Crashkernel, Ranges) {
  constexpr std::string_view line = "crashkernel=512M-2G:64M,2G-4G:128M,4G-:256M@32M";
  EXPECT_EQ(request(line, GiB).size, 64 * MiB);
  EXPECT_EQ(request(line, 3 * GiB).size, 128 * MiB);
  EXPECT_EQ(request(line, 64 * GiB).size, 256 * MiB);
  EXPECT_EQ(request(line, 64 * GiB).offset, 32 * MiB);
  EXPECT_EQ(request(line, GiB).offset, 32 * MiB) << "it is behind all ranges, for each of them";
  EXPECT_NE(problem(line, 384 * MiB).find("no range is for 384M"), std::string::npos);
  // Firmware keeps some: 2 GiB less 5 MiB is a machine of 2 GiB, for kernels that round.
  EXPECT_EQ(request(line, 2 * GiB - 5 * MiB).size, 128 * MiB);
  EXPECT_EQ(request(line, 2 * GiB - 5 * MiB, false).size, 64 * MiB);
  // Nothing behind the range that matches is read, all before it is.
  EXPECT_EQ(request("crashkernel=1G-:64M,oops", 2 * GiB).size, 64 * MiB);
  EXPECT_NE(problem("crashkernel=1G-2G:4G,2G-:64M", 2 * GiB).find("not less than all"), std::string::npos);
}

TEST(Crashkernel, AllRangesAreReadWhenNoneShallMatch) {
  CrashkernelValue all = parse_crashkernel_value("512M-2G:64M,2G-:128M@1M", CrashkernelKind::plain, {});
  ASSERT_EQ(all.ranges.size(), 2u);
  EXPECT_EQ(all.ranges[0].end, 2 * GiB);
  EXPECT_FALSE(all.ranges[1].end);
  EXPECT_EQ(all.offset, MiB);
  EXPECT_THROW(parse_crashkernel_value("1G-:64M,oops", CrashkernelKind::plain, {}), Error);
  EXPECT_THROW(parse_crashkernel_value("1G-:64Moops", CrashkernelKind::plain, {}), Error);
}

TEST(Crashkernel, TheLastOfEachKindAndPlainFirst) {
  EXPECT_EQ(request("crashkernel=64M crashkernel=128M").size, 128 * MiB);
  CrashkernelRequest high = request("crashkernel=64M,low crashkernel=512M,high crashkernel=32M,low");
  EXPECT_TRUE(high.high);
  EXPECT_EQ(high.size, 512 * MiB);
  EXPECT_EQ(high.low, 32 * MiB);
  EXPECT_FALSE(request("crashkernel=512M,high").low) << "the kernel's default";
  EXPECT_EQ(request("crashkernel=512M,high crashkernel=0,low").low, 0u);

  CrashkernelDecision both = decide_crashkernel("crashkernel=64M crashkernel=512M,high", 8 * GiB, true);
  EXPECT_FALSE(both.request->high);
  EXPECT_TRUE(both.options[0].used);
  EXPECT_FALSE(both.options[1].used);
  EXPECT_NE(both.options[1].remark.find("plain"), std::string::npos);
  // A plain one that is wrong is not made good by the others.
  EXPECT_NE(problem("crashkernel=64Q crashkernel=512M,high").find("'Q'"), std::string::npos);
  EXPECT_NE(problem("crashkernel=64M,low").find("neither"), std::string::npos);
  EXPECT_NE(problem("crashkernel=512M,high crashkernel=x,low").find("'x'"), std::string::npos);
}

TEST(Crashkernel, Cma) {
  CrashkernelRequest both = request("crashkernel=64M crashkernel=512M,cma");
  EXPECT_EQ(both.size, 64 * MiB);
  EXPECT_EQ(both.cma, 512 * MiB);
  EXPECT_EQ(request("crashkernel=64M crashkernel=many,cma").cma, 0u) << "it spoils nothing else";
  EXPECT_NE(problem("crashkernel=512M,cma").find("neither"), std::string::npos);
}

TEST(Crashkernel, FoundAnywhereInTheLine) {
  EXPECT_EQ(request("no_crashkernel=64M").size, 64 * MiB);
  EXPECT_TRUE(decide_crashkernel("crash_kernel=64M quiet", GiB, true).options.empty());
  // Only spaces end it.
  EXPECT_NE(problem("crashkernel=64M\tquiet").find("character 4"), std::string::npos);
}

TEST(Crashkernel, NotMoreThanThereIs) {
  EXPECT_NE(problem("crashkernel=1G", GiB).find("not less than all"), std::string::npos);
  EXPECT_NE(problem("crashkernel=0").find("size is 0"), std::string::npos);
}

}  // namespace
}  // namespace kdk
