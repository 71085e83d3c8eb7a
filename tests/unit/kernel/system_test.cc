#include "core/kernel/system.h"

#include <gtest/gtest.h>

#include "tests/support/crash_scene.h"

namespace kdk {
namespace {

using test::Scene;

SystemInfo system_of(const Scene& scene) {
  std::unique_ptr<Dump> dump = scene.machine->open();
  Kernel kernel(*dump);
  SystemInfo system = system_from_dump(*dump);
  complete_system(system, kernel, read_log(kernel.memory()));
  return system;
}

TEST(Taint, LettersOutOfOopsLines) {
  EXPECT_EQ("", taint_letters_in("CPU: 0 PID: 1 Comm: init Not tainted 6.1.0 #1"));
  EXPECT_EQ("DOE", taint_letters_in("CPU: 0 PID: 1 Comm: x Tainted: G      D    OE      6.1.0 #1"));
  EXPECT_EQ("PW", taint_letters_in("CPU: 0 PID: 1 Comm: x Tainted: P        W         6.12.0 #1"));
  EXPECT_EQ("WO", taint_letters_in("Tainted: [W]=WARN, [O]=OOT_MODULE"));
  EXPECT_EQ("", taint_letters_in("Tainted: "));
  EXPECT_EQ(std::nullopt, taint_letters_in("sysrq: Trigger a crash"));
}

TEST(Taint, UnknownBitsAreKept) {
  auto flags = decode_taint((uint64_t{1} << 63) | (1u << 12));
  ASSERT_EQ(2u, flags.size());
  EXPECT_EQ('O', flags[0].letter);
  EXPECT_EQ(63u, flags[1].bit);
  EXPECT_EQ('?', flags[1].letter);
}

TEST(System, EveryFactHasItsBestSource) {
  SystemInfo system = system_of(Scene());
  EXPECT_EQ("6.12.0-synthetic", system.release);
  EXPECT_EQ("#1 SMP Synthetic", system.version);
  EXPECT_EQ("aarch64", system.machine);
  EXPECT_EQ("arm64", system.architecture);
  EXPECT_EQ("synthetic", system.hostname);
  EXPECT_EQ(2u, system.cpus_possible);
  EXPECT_EQ(1u, system.cpus_online);
  EXPECT_EQ(1795455686u, system.crash_time);
  EXPECT_EQ("OE", system.taint_letters);
  EXPECT_EQ("tainted_mask", system.taint_source);
  EXPECT_EQ("saved_command_line", system.command_line_source);
  EXPECT_EQ("console=ttyAMA0 crashkernel=256M", system.command_line);
  ASSERT_TRUE(system.uptime_ns);
  EXPECT_LT(*system.uptime_ns, 1'000'000'000u);
  EXPECT_EQ(1795455686u, system.boot_time);
}

TEST(System, WithoutDataSymbolsTheLogAnswers) {
  SystemInfo system = system_of(Scene({.data_symbols = false}));
  EXPECT_EQ("synthetic", system.hostname);  // init_uts_ns is in VMCOREINFO
  EXPECT_EQ("log", system.taint_source);
  EXPECT_EQ("OE", system.taint_letters);
  EXPECT_EQ(std::nullopt, system.taint_mask);
  EXPECT_EQ("log", system.command_line_source);
  EXPECT_EQ("console=ttyAMA0 crashkernel=256M", system.command_line);
  EXPECT_EQ(std::nullopt, system.cpus_possible);
}

TEST(System, ControlBytesInTheHostNameAreEscaped) {
  SystemInfo system = system_of(Scene({.hostile_names = true}));
  EXPECT_EQ(std::string::npos, system.hostname.find('\x1b'));
  EXPECT_NE(std::string::npos, system.hostname.find("\\x1b"));
}

}  // namespace
}  // namespace kdk
