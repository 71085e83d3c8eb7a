#include "loader/plan/command_line.h"

#include <gtest/gtest.h>

#include <array>

namespace kdk {
namespace {

constexpr std::array<std::string_view, 5> crash_defaults = {"reset_devices", "nr_cpus=1", "panic=10", "cma=0",
                                                            "hugetlb_cma=0"};

std::string reuse(std::string_view running, std::string append = "", bool defaults = false) {
  return make_command_line({std::nullopt, std::move(append), defaults}, running, crash_defaults).text;
}

TEST(CommandLine, RemovesWhatHarmsACrashKernel) {
  CommandLine line = make_command_line(
      {std::nullopt, "", false},
      "BOOT_IMAGE=/vmlinuz root=/dev/vda1 crashkernel=1G,high crashkernel=128M,low hugepagesz=1G hugepages=8 "
      "panic_on_warn panic=0 quiet console=ttyAMA0 mem=4G slub-debug=FZP isolcpus=1-3\n",
      crash_defaults);
  EXPECT_EQ(line.text, "root=/dev/vda1 console=ttyAMA0");
  EXPECT_EQ(line.removed.size(), 11u);
  EXPECT_EQ(line.removed[1], "crashkernel=1G,high");
  EXPECT_EQ(line.source, "running kernel");
}

TEST(CommandLine, KeepsOptionsThatOnlyBeginAlike) {
  EXPECT_EQ(reuse("memtest=1 quietly cmas=1 initrd_x nr_cpus_x=1 panic=-1 panic=30"),
            "memtest=1 quietly cmas=1 initrd_x nr_cpus_x=1 panic=-1 panic=30");
}

TEST(CommandLine, QuotedValuesStayWhole) {
  EXPECT_EQ(reuse("dyndbg=\"file x.c +p; crashkernel=1\" \"crashkernel=2G foo\" a=1"),
            "dyndbg=\"file x.c +p; crashkernel=1\" a=1");
  EXPECT_EQ(split_command_line("  a  \"b c\"=d\te").size(), 3u);
}

TEST(CommandLine, AddsOnlyDefaultsThatAreNotNamed) {
  CommandLine line = make_command_line({std::nullopt, "nr_cpus=4 panic=30", true},
                                       "console=ttyS0 nr_cpus=64 panic=0", crash_defaults);
  EXPECT_EQ(line.text, "console=ttyS0 nr_cpus=4 panic=30 reset_devices cma=0 hugetlb_cma=0");
  EXPECT_EQ(line.added, (std::vector<std::string>{"reset_devices", "cma=0", "hugetlb_cma=0"}));
}

TEST(CommandLine, NothingBehindTheDoubleDashIsTouched) {
  EXPECT_EQ(reuse("a=1 -- crashkernel=1 quiet", "b=2", true),
            "a=1 b=2 reset_devices nr_cpus=1 panic=10 cma=0 hugetlb_cma=0 -- crashkernel=1 quiet");
  EXPECT_FALSE(find_option("a -- b=1", "b"));
}

TEST(CommandLine, LiteralLineIsKeptAsItIs) {
  CommandLine line = make_command_line({"quiet  crashkernel=1M", "", false}, "ignored", crash_defaults);
  EXPECT_EQ(line.text, "quiet  crashkernel=1M");
  EXPECT_TRUE(line.removed.empty());
  EXPECT_EQ(line.source, "given");
}

TEST(CommandLine, FindsTheLastValue) {
  EXPECT_EQ(find_option("panic=1 panic=2", "panic"), "2");
  EXPECT_EQ(find_option("reset-devices", "reset_devices"), "");
  EXPECT_FALSE(find_option("xpanic=1", "panic"));
}

}  // namespace
}  // namespace kdk
