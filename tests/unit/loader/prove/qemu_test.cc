#include "loader/prove/qemu.h"

#include <gtest/gtest.h>

#include <unistd.h>

#include <csignal>

#include "core/base/error.h"
#include "loader/kexec/kexec.h"
#include "tests/support/fake_machine.h"

namespace kdk {
namespace {

using namespace std::chrono_literals;
using Why = QemuEnd::Why;

// A shell in QEMU's place.
QemuRun shell(const std::string& script, std::string& said) {
  QemuRun run;
  run.program = "/bin/sh";
  run.arguments = {"-c", script};
  run.deadline = std::chrono::steady_clock::now() + 60s;
  run.console = [&said](Bytes text) {
    said += as_text(text);
    return true;
  };
  run.tick = [] { return true; };
  return run;
}

TEST(RunQemu, SaysHowItEnded) {
  std::string said;
  QemuEnd end = run_qemu(shell("echo hello; echo trouble >&2; exit 3", said));
  EXPECT_EQ(end.why, Why::exited);
  EXPECT_EQ(end.exit_code, 3);
  EXPECT_EQ(said, "hello\n");
  EXPECT_EQ(end.errors, "trouble\n");
}

TEST(RunQemu, KeepsTheGivenFileAndNothingElse) {
  Fd file = memory_file("part", as_bytes(std::string_view("content")));
  Fd other = memory_file("other", as_bytes(std::string_view("other")));
  auto path = [](const Fd& fd) { return "/proc/self/fd/" + std::to_string(fd.get()); };
  std::string said;
  QemuRun run = shell("cat " + path(file) + "; cat " + path(other) + " || echo gone", said);
  run.descriptors = {file.get()};
  EXPECT_EQ(run_qemu(run).exit_code, 0);
  EXPECT_EQ(said, "contentgone\n");
}

TEST(RunQemu, IsNobodyWhereWeAreRoot) {
  if (::geteuid() != 0) GTEST_SKIP() << "not root";
  std::string said;
  run_qemu(shell("id -u; id -g", said));
  EXPECT_EQ(said, "65534\n65534\n");
}

TEST(RunQemu, EndsAtTheDeadline) {
  std::string said;
  QemuRun run = shell("echo started; exec sleep 600", said);
  run.deadline = std::chrono::steady_clock::now() + 1s;
  QemuEnd end = run_qemu(run);
  EXPECT_EQ(end.why, Why::deadline);
  EXPECT_EQ(end.exit_code, -SIGKILL);
}

TEST(RunQemu, EndsWhenEnoughWasSaid) {
  std::string said;
  QemuRun run = shell("echo started; exec sleep 600", said);
  run.console = [](Bytes) { return false; };
  EXPECT_EQ(run_qemu(run).why, Why::stopped);
}

TEST(RunQemu, EndsAtASignal) {
  std::string said;
  QemuRun run = shell("exec sleep 600", said);
  run.tick = [] {
    std::raise(SIGINT);
    return true;
  };
  EXPECT_EQ(run_qemu(run).why, Why::interrupted);
}

TEST(RunQemu, OnlyTheEndOfManyErrors) {
  std::string said;
  QemuEnd end = run_qemu(shell("i=0; while [ $i -lt 2000 ]; do echo line $i >&2; i=$((i+1)); done", said));
  EXPECT_LE(end.errors.size(), 4096u);
  EXPECT_TRUE(end.errors.ends_with("line 1999\n"));
}

TEST(RunQemu, AProgramThatDoesNotExist) {
  std::string said;
  QemuRun run = shell("", said);
  run.program = "/nonexistent/qemu";
  QemuEnd end = run_qemu(run);
  EXPECT_EQ(end.exit_code, 127);
  EXPECT_EQ(end.errors, "cannot be started\n");
  EXPECT_THROW(find_qemu("/nonexistent/qemu", find_board(arm64_architecture)), Error);
}

TEST(RunQemu, RemovesItsDirectory) {
  std::filesystem::path path;
  {
    ChildDirectory directory;
    path = directory.path();
    std::string said;
    EXPECT_EQ(run_qemu(shell("echo x >" + (path / "file").string(), said)).exit_code, 0);
    EXPECT_TRUE(std::filesystem::exists(path / "file"));
  }
  EXPECT_FALSE(std::filesystem::exists(path));
}

}  // namespace
}  // namespace kdk
