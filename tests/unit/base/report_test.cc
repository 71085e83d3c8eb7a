// How errors, messages and exit codes reach the user.
#include <gtest/gtest.h>

#include <cerrno>
#include <new>

#include "core/base/cli.h"
#include "core/base/error.h"
#include "core/base/log.h"

namespace kdk {
namespace {

struct Outcome {
  int code;
  std::string errors;
};

Outcome run(const std::function<int()>& body) {
  testing::internal::CaptureStderr();
  int code = run_main("prog", body);
  return {code, testing::internal::GetCapturedStderr()};
}

TEST(Error, ContextIsAddedInFront) {
  try {
    with_context("dump.kdump", [] {
      with_context("reading notes",
                   [] { throw Error(Errc::fault, "no such page", 0x1000).with_hint("look elsewhere"); });
    });
    FAIL() << "nothing was thrown";
  } catch (const Error& e) {
    EXPECT_EQ(e.message(), "dump.kdump: reading notes: no such page");
    EXPECT_STREQ(e.what(), e.message().c_str());
    EXPECT_EQ(e.code(), Errc::fault);
    EXPECT_EQ(e.address(), 0x1000u);
    EXPECT_EQ(e.hint(), "look elsewhere");
  }
  EXPECT_EQ(with_context("unused", [] { return 5; }), 5);
}

TEST(Error, ErrnoDecidesTheCode) {
  EXPECT_EQ(error_from_errno(EACCES, "x").code(), Errc::denied);
  EXPECT_EQ(error_from_errno(EPERM, "x").code(), Errc::denied);
  EXPECT_EQ(error_from_errno(ENOENT, "x").code(), Errc::missing);
  EXPECT_EQ(error_from_errno(EIO, "x").code(), Errc::io);
  EXPECT_FALSE(error_from_errno(ENOSPC, "x").hint().empty());
  EXPECT_EQ(error_from_errno(EIO, "/dev/sda").message(), "/dev/sda: Input/output error");
}

TEST(RunMain, PassesTheExitCodeOn) {
  EXPECT_EQ(run([] { return static_cast<int>(exit_partial); }).code, exit_partial);
  EXPECT_EQ(run([] { return 0; }).errors, "");
}

TEST(RunMain, PrintsAnErrorAndItsHint) {
  Outcome outcome =
      run([]() -> int { throw Error(Errc::format, "vmcore: bad header").with_hint("try another"); });
  EXPECT_EQ(outcome.code, exit_failed);
  EXPECT_EQ(outcome.errors, "prog: error: vmcore: bad header\nhint: try another\n");
}

TEST(RunMain, OtherExceptionsAreFailuresToo) {
  Outcome memory = run([]() -> int { throw std::bad_alloc(); });
  EXPECT_EQ(memory.code, exit_failed);
  EXPECT_EQ(memory.errors, "prog: error: out of memory\n");
  Outcome bug = run([]() -> int { throw std::logic_error("impossible"); });
  EXPECT_EQ(bug.code, exit_failed);
  EXPECT_NE(bug.errors.find("please report it: impossible"), std::string::npos);
}

TEST(RunMainDeathTest, FullStandardOutputIsAFailure) {
  EXPECT_EXIT(
      {
        if (std::freopen("/dev/full", "w", stdout) == nullptr) std::exit(99);
        std::exit(run_main("prog", [] { return std::puts("result") < 0 ? 98 : 0; }));
      },
      testing::ExitedWithCode(exit_failed), "writing standard output");
}

TEST(Log, LevelDecidesAndControlBytesAreEscaped) {
  testing::internal::CaptureStderr();
  set_log_level(LogLevel::warning);
  log_info("not shown");
  log_warning("comm is {}", "ev\x1b[2Jil\n");
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "prog: warning: comm is ev\\x1b[2Jil\\x0a\n");
}

TEST(EscapeUntrusted, KeepsTextAndDefusesTheRest) {
  EXPECT_EQ(escape_untrusted("plain text"), "plain text");
  EXPECT_EQ(escape_untrusted("a\tb\n", "\t"), "a\tb\\x0a");
  EXPECT_EQ(escape_untrusted("gr\xc3\xbc\xc3\x9f"), "gr\xc3\xbc\xc3\x9f");
  EXPECT_EQ(escape_untrusted("\x7f"), "\\x7f");
  EXPECT_EQ(escape_untrusted("\xc2\x9b"), "\\x9b");                     // CSI as a C1 control character
  EXPECT_EQ(escape_untrusted("\xff|"), "\xef\xbf\xbd|");                // no UTF-8 at all
  EXPECT_EQ(escape_untrusted("\xc0\xaf"), "\xef\xbf\xbd\xef\xbf\xbd");  // overlong
  EXPECT_EQ(escape_untrusted("\xed\xa0\x80").find("\xed"), std::string::npos);  // surrogate
  EXPECT_EQ(escape_untrusted("\xe2\x82"), "\xef\xbf\xbd\xef\xbf\xbd");          // cut short
  EXPECT_EQ(escape_untrusted(std::string_view("a\0b", 3)), "a\\x00b");
}

}  // namespace
}  // namespace kdk
