// What can be tested of loading without a kernel to load into.
#include "loader/kexec/kexec.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "core/base/error.h"
#include "tests/support/fake_machine.h"

namespace kdk {
namespace {

TEST(OptionalFlags, AreGivenUpOnlyOnEinval) {
  std::vector<uint64_t> calls;
  auto kernel = [&](uint64_t known, int otherwise) {
    calls.clear();
    return [&calls, known, otherwise](uint64_t flags) {
      calls.push_back(flags);
      return (flags & ~known) != 0 ? EINVAL : otherwise;
    };
  };
  // What a kernel that knows the flags `known` makes of it: the call's result, and the flag it took.
  constexpr std::array newest_first = {NamedFlag{8, "NEWER"}, NamedFlag{4, "OLDER"}};
  auto negotiate = [&](uint64_t known, int otherwise) {
    NegotiatedCall done = call_with_optional_flags(2, newest_first, kernel(known, otherwise));
    return fmt::format("{} {}", done.result, done.taken);
  };
  EXPECT_EQ(negotiate(15, 0), "0 NEWER");
  EXPECT_EQ(calls, std::vector<uint64_t>{10});
  EXPECT_EQ(negotiate(7, 0), "0 OLDER");
  EXPECT_EQ(calls, (std::vector<uint64_t>{10, 6}));
  EXPECT_EQ(negotiate(3, 0), "0 ");
  EXPECT_EQ(calls, (std::vector<uint64_t>{10, 6, 2}));
  EXPECT_EQ(negotiate(15, EPERM), fmt::format("{} NEWER", EPERM));
  EXPECT_EQ(calls, std::vector<uint64_t>{10});
  EXPECT_EQ(negotiate(7, ENOMEM), fmt::format("{} OLDER", ENOMEM));
  // Nothing to give up, and a call that is refused for another reason.
  EXPECT_EQ(call_with_optional_flags(2, {}, kernel(0, 0)).result, EINVAL);
  EXPECT_EQ(calls, std::vector<uint64_t>{2});
  EXPECT_EQ(negotiate(15, EINVAL), fmt::format("{} ", EINVAL));
  EXPECT_EQ(calls, (std::vector<uint64_t>{10, 6, 2}));
}

TEST(InputFiles, AChangeAfterTheCheckIsSeen) {
  testing::TempDir dir;
  std::filesystem::path path = dir.path() / "kernel";
  testing::write_test_file(path, as_bytes("first content"));
  Fd fd = Fd::open(path, O_RDONLY);
  InputIdentity planned = identify(path.string(), as_bytes("first content"));
  require_unchanged(fd, planned);
  testing::write_test_file(path, as_bytes("other content"));  // the same length, in place
  EXPECT_THROW(require_unchanged(fd, planned), Error);
  testing::write_test_file(path, as_bytes("first content and more"));
  EXPECT_THROW(require_unchanged(fd, planned), Error);
  // Replaced by a new file of that name: the descriptor still is the old one, which is what will be loaded.
  testing::write_test_file(path, as_bytes("first content"));
  testing::write_test_file(dir.path() / "new", as_bytes("new kernel"));
  std::filesystem::rename(dir.path() / "new", path);
  require_unchanged(fd, planned);
}

class HandedFilesTest : public ::testing::Test {
 protected:
  HandedFilesTest() {
    testing::write_test_file(dir_.path() / "kernel", as_bytes("the kernel file"));
    testing::write_test_file(dir_.path() / "initrd", as_bytes("the initramfs"));
    files_.kernel = Fd::open(dir_.path() / "kernel", O_RDONLY);
    files_.initrd = Fd::open(dir_.path() / "initrd", O_RDONLY);
  }
  static std::string link_of(int fd) {
    return std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(fd)).string();
  }
  // In memory, with this content, and open for reading alone: the kernel refuses what is open for writing.
  static void expect_memory(int fd, std::string_view content) {
    EXPECT_TRUE(link_of(fd).starts_with("/memfd:")) << link_of(fd);
    EXPECT_EQ(::fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
    std::string text(100, 0);
    const ssize_t size = ::pread(fd, text.data(), text.size(), 0);
    ASSERT_GE(size, 0);
    EXPECT_EQ(text.substr(0, static_cast<size_t>(size)), content);
  }

  testing::TempDir dir_;
  LoadPlan plan_;
  LoadFiles files_;
};

// The descriptor that was opened and read, not another one of the same file: what is replaced at that path
// meanwhile is not loaded, and the file's security.ima is what IMA looks at.
TEST_F(HandedFilesTest, PlainFilesAreHandedOverThemselves) {
  HandedFiles handed(plan_, files_);
  EXPECT_EQ(handed.kernel(), files_.kernel.get());
  EXPECT_EQ(handed.initrd(), files_.initrd.get());
  files_.initrd = Fd();
  EXPECT_EQ(HandedFiles(plan_, files_).initrd(), -1);
}

TEST_F(HandedFilesTest, WhatIsPackedInAFileIsHandedOverInMemory) {
  auto bytes = [](std::string_view text) { return std::vector<uint8_t>(text.begin(), text.end()); };
  plan_.unpacked_kernel = bytes("unpacked");
  {
    HandedFiles handed(plan_, files_);
    expect_memory(handed.kernel(), "unpacked");
    EXPECT_EQ(handed.initrd(), files_.initrd.get());
  }
  plan_.extracted_initrd = bytes("extracted");
  files_.initrd = Fd();
  HandedFiles handed(plan_, files_);
  expect_memory(handed.kernel(), "unpacked");
  expect_memory(handed.initrd(), "extracted");
}

}  // namespace
}  // namespace kdk
