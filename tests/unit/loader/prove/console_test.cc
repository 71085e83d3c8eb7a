#include "loader/prove/console.h"

#include <gtest/gtest.h>

namespace kdk {
namespace {

ConsoleWatch watch(std::string_view text, std::string expected = {}) {
  ConsoleWatch console(std::move(expected));
  console.feed(as_bytes(text));
  console.finish();
  return console;
}

constexpr std::string_view boot =
    "[    0.000000] Booting Linux on physical CPU 0x0000000000 [0x411fd070]\r\n"
    "[    0.000000] Memory: 213708K/262144K available (17408K kernel code)\r\n"
    "[    1.000000][    T1] Run /init as init process\r\n";

TEST(Console, NothingWasSaid) {
  ConsoleWatch console = watch("");
  EXPECT_EQ(console.stage(), BootStage::nothing);
  EXPECT_EQ(console.failure(), "");
}

TEST(Console, ComesAsFarAsInit) {
  ConsoleWatch console = watch(boot);
  EXPECT_EQ(console.stage(), BootStage::init);
  EXPECT_EQ(console.init(), "/init");
  EXPECT_EQ(console.memory_available(), 213708u * 1024);
  EXPECT_EQ(console.memory_total(), 262144u * 1024);
  EXPECT_EQ(console.last_lines().size(), 3u);
}

TEST(Console, CaptureByItsOwnWords) {
  ConsoleWatch console =
      watch(std::string(boot) +
            "kdumpkit: capture started, 1 target\n"
            "kdumpkit: saving to directory /x\nkdumpkit: capture finished: nothing saved\n");
  EXPECT_EQ(console.stage(), BootStage::capture);
  EXPECT_TRUE(console.capture_finished());
  EXPECT_EQ(console.capture_said().size(), 3u);
}

TEST(Console, CaptureSplitAnywhere) {
  std::string text = std::string(boot) + "kdump-capture: error: /etc/kdumpkit.toml: No such file\n";
  ConsoleWatch console;
  for (char c : text) console.feed(as_bytes(std::string_view(&c, 1)));
  EXPECT_EQ(console.stage(), BootStage::capture);
  EXPECT_FALSE(console.capture_finished());
}

// The kernel repeats its command line before there is a program.
TEST(Console, ExpectedTextOnlyOfPrograms) {
  std::string line = "[    0.000000] Kernel command line: marker=saving-now\n";
  EXPECT_EQ(watch(line + std::string(boot), "saving-now").stage(), BootStage::init);
  EXPECT_EQ(watch(std::string(boot) + "my script: saving-now\n", "saving-now").stage(), BootStage::capture);
}

TEST(Console, WordsInTheMiddleOfALineAreNobodys) {
  EXPECT_EQ(watch(std::string(boot) + "echo kdumpkit: capture started\n").stage(), BootStage::init);
}

TEST(Console, PanicAndWhatCameBefore) {
  ConsoleWatch console = watch(
      "Linux version 6.1\n"
      "[    0.5] Initramfs unpacking failed: write error\n"
      "[    0.6] check access for rdinit=/run failed: -2, ignoring\n"
      "[    0.7] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)\n"
      "[    0.8] Kernel panic - not syncing: again\n");
  EXPECT_EQ(console.stage(), BootStage::kernel);
  EXPECT_EQ(console.failure(), "the kernel panicked: VFS: Unable to mount root fs on unknown-block(0,0)");
  ASSERT_EQ(console.problems().size(), 3u);
  EXPECT_EQ(console.problems()[0], "unpacking the initramfs failed: write error");
  EXPECT_EQ(console.problems()[1], "the initramfs has no /run");
  EXPECT_EQ(console.problems()[2], "the initramfs has no /init that could be started");
}

TEST(Console, AnInitThatCannotRun) {
  ConsoleWatch console = watch(std::string(boot) + "[    1.1] Failed to execute /init (error -8)\n");
  EXPECT_EQ(console.stage(), BootStage::kernel);
  EXPECT_EQ(console.init(), "");
  EXPECT_EQ(console.problems(), std::vector<std::string>{"Failed to execute /init (error -8)"});
}

TEST(Console, ShortMemoryAndShutdown) {
  ConsoleWatch console = watch(std::string(boot) +
                               "[    2.0] Out of memory: Killed process 1 (init) total-vm:1kB\n"
                               "[    3.0] reboot: Restarting system\n");
  EXPECT_EQ(console.failure(), "the machine was shut down: Restarting system");
  ASSERT_EQ(console.problems().size(), 1u);
  EXPECT_NE(console.problems()[0].find("Killed process 1"), std::string::npos);
}

TEST(Console, MemoryThatIsNoNumber) {
  for (std::string_view line : {"Memory: 1K/2 available\n", "Memory: -1K/2K available\n",
                                "Memory: 99999999999999999999K/1K available\n",
                                "Memory: 18446744073709551615K/1K available\n", "Memory: 1K/2K\n"}) {
    EXPECT_FALSE(watch(line).memory_available()) << line;
  }
}

TEST(Console, HostileLengths) {
  std::string text(1 << 20, 'x');
  for (int i = 0; i < 1000; ++i) text += "\nkdumpkit: x\nOut of memory: y";
  ConsoleWatch console = watch(text);
  EXPECT_LE(console.capture_said().size(), 32u);
  EXPECT_LE(console.problems().size(), 16u);
  EXPECT_LE(console.last_lines().size(), 20u);
  for (const std::string& line : console.last_lines()) EXPECT_LE(line.size(), 1024u);
}

}  // namespace
}  // namespace kdk
