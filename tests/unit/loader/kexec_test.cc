// What can be tested of loading without a kernel to load into.
#include "loader/kexec/kexec.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <set>

#include "core/base/error.h"
#include "tests/support/fake_machine.h"

namespace kdk {
namespace {

TEST(KexecErrno, EveryRefusalHasACauseAndANextStep) {
  for (int value : {EPERM, EACCES, EBUSY, EADDRNOTAVAIL, EINVAL, ENOMEM, ENOSYS}) {
    Error error = explain_kexec_errno(LoadCall::kexec_load, value, "kexec_load");
    EXPECT_FALSE(error.hint().empty()) << value;
    EXPECT_EQ(error.code() == Errc::denied, value == EPERM || value == EACCES);
  }
  EXPECT_NE(explain_kexec_errno(LoadCall::kexec_load, EIO, "kexec_load").message().find("Input/output"),
            std::string::npos);
}

TEST(KexecErrno, FileLoadHasItsOwnCauses) {
  std::set<std::string> messages;
  const std::vector<int> values = {EPERM,   EACCES,  EBUSY,       ENOEXEC, EINVAL,      EADDRNOTAVAIL, ENOMEM,
                                   ENOSYS,  EBADF,   ETXTBSY,     EFBIG,   EIO,         EKEYREJECTED,  ENOKEY,
                                   ENODATA, EBADMSG, EKEYEXPIRED, ELIBBAD, EKEYREVOKED, ENOPKG,        524};
  for (int value : values) {
    Error error = explain_kexec_errno(LoadCall::kexec_file_load, value, "load");
    EXPECT_FALSE(error.hint().empty()) << value;
    std::string why = error.message().substr(0, error.message().rfind('('));
    EXPECT_TRUE(messages.insert(why).second) << "said twice: " << why;
  }
  EXPECT_EQ(explain_kexec_errno(LoadCall::kexec_file_load, EKEYREJECTED, "load").code(), Errc::denied);
  EXPECT_NE(explain_kexec_errno(LoadCall::kexec_file_load, ENOSYS, "load").hint().find("CONFIG_KEXEC_FILE"),
            std::string::npos);
}

TEST(OptionalFlags, AreGivenUpOnlyOnEinval) {
  std::vector<uint64_t> calls;
  auto kernel = [&](uint64_t known, int otherwise) {
    calls.clear();
    return [&calls, known, otherwise](uint64_t flags) {
      calls.push_back(flags);
      return (flags & ~known) != 0 ? EINVAL : otherwise;
    };
  };
  EXPECT_EQ(call_with_optional_flags(2, 8, kernel(15, 0)), 0);
  EXPECT_EQ(calls, std::vector<uint64_t>{10});
  EXPECT_EQ(call_with_optional_flags(2, 8, kernel(7, 0)), 0);
  EXPECT_EQ(calls, (std::vector<uint64_t>{10, 2}));
  EXPECT_EQ(call_with_optional_flags(2, 8, kernel(15, EPERM)), EPERM);
  EXPECT_EQ(calls, std::vector<uint64_t>{10});
  EXPECT_EQ(call_with_optional_flags(2, 0, kernel(0, 0)), EINVAL);
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
