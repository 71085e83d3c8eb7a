// What can be tested of loading without a kernel to load into.
#include "loader/kexec/kexec.h"

#include <fcntl.h>
#include <gtest/gtest.h>

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
  EXPECT_EQ(call_with_optional_flag(2, {8, "OPTIONAL"}, kernel(15, 0)), 0);
  EXPECT_EQ(calls, std::vector<uint64_t>{10});
  EXPECT_EQ(call_with_optional_flag(2, {8, "OPTIONAL"}, kernel(7, 0)), 0);
  EXPECT_EQ(calls, (std::vector<uint64_t>{10, 2}));
  EXPECT_EQ(call_with_optional_flag(2, {8, "OPTIONAL"}, kernel(15, EPERM)), EPERM);
  EXPECT_EQ(calls, std::vector<uint64_t>{10});
  EXPECT_EQ(call_with_optional_flag(2, {0, "OPTIONAL"}, kernel(0, 0)), EINVAL);
  EXPECT_EQ(calls, std::vector<uint64_t>{2});
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

}  // namespace
}  // namespace kdk
