#include "core/base/file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstring>
#include <thread>

#include "core/base/bus_error.h"

namespace kdk {
namespace {

// A directory of this test's own, gone at its end.
class FileTest : public testing::Test {
 protected:
  FileTest() {
    std::string pattern = testing::TempDir() + "/kdk-file-XXXXXX";
    directory = ::mkdtemp(pattern.data());
  }
  ~FileTest() override { std::filesystem::remove_all(directory); }
  std::filesystem::path path(std::string_view name) const { return directory / name; }
  size_t entries() const {
    return static_cast<size_t>(std::distance(std::filesystem::directory_iterator(directory), {}));
  }
  std::filesystem::path directory;
};

TEST_F(FileTest, OpenNamesThePathAndTheReason) {
  try {
    Fd::open(path("absent"), O_RDONLY);
    FAIL() << "opened";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Errc::missing);
    EXPECT_NE(e.message().find("absent"), std::string::npos);
  }
}

TEST_F(FileTest, FdIsOwnedOnce) {
  Fd first = Fd::open("/dev/null", O_RDONLY);
  int number = first.get();
  Fd second = std::move(first);
  EXPECT_FALSE(first);
  EXPECT_EQ(second.get(), number);
  EXPECT_NE(::fcntl(number, F_GETFD) & FD_CLOEXEC, 0);
  second.reset();
  EXPECT_EQ(::fcntl(number, F_GETFD), -1);
}

TEST_F(FileTest, ReadAndWriteAtOffsets) {
  Fd fd = Fd::open(path("data"), O_RDWR | O_CREAT);
  write_at(fd, 5, as_bytes("world"), "data");
  write_at(fd, 0, as_bytes("hello"), "data");
  EXPECT_EQ(file_size(fd), 10u);
  std::vector<uint8_t> out(20);
  EXPECT_EQ(read_at(fd, 3, out, "data"), 7u);
  EXPECT_EQ(as_text(out).substr(0, 7), "loworld");
  EXPECT_THROW(read_at(Fd::open(path("data"), O_WRONLY), 0, out, "data"), Error);
}

TEST_F(FileTest, FullDiskIsAnErrorWithAHint) {
  Fd full = Fd::open("/dev/full", O_WRONLY);
  try {
    write_all(full, as_bytes("x"), "target");
    FAIL() << "written";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Errc::io);
    EXPECT_NE(e.message().find("target"), std::string::npos);
    EXPECT_FALSE(e.hint().empty());
  }
}

TEST_F(FileTest, WholeFilesHaveALimit) {
  write_file_atomic(path("text"), as_bytes("0123456789"));
  EXPECT_EQ(read_text_file(path("text")), "0123456789");
  EXPECT_THROW(read_file(path("text"), 9), Error);
  EXPECT_FALSE(read_text_file("/proc/self/status").empty());  // says it has size 0
}

TEST_F(FileTest, MappingShowsTheContent) {
  write_file_atomic(path("mapped"), as_bytes("content"));
  MappedFile map = MappedFile::open(path("mapped"));
  EXPECT_EQ(as_text(map.bytes()), "content");
  MappedFile moved = std::move(map);
  EXPECT_TRUE(map.bytes().empty());
  EXPECT_EQ(as_text(moved.bytes()), "content");
  write_file_atomic(path("empty"), {});
  EXPECT_TRUE(MappedFile::open(path("empty")).bytes().empty());
  EXPECT_THROW(MappedFile::open(directory), Error);
}

TEST_F(FileTest, AtomicFileAppearsOnlyWhenCommitted) {
  {
    AtomicFile file(path("result"));
    file.write(as_bytes("half"));
    EXPECT_FALSE(std::filesystem::exists(path("result")));
    file.write(as_bytes(" and half"));
    file.commit();
  }
  EXPECT_EQ(read_text_file(path("result")), "half and half");
  EXPECT_EQ(entries(), 1u);
}

TEST_F(FileTest, AbandonedAtomicFileLeavesNothingAndTouchesNothing) {
  write_file_atomic(path("result"), as_bytes("old"));
  try {
    AtomicFile file(path("result"));
    file.write(as_bytes("new"));
    throw Error(Errc::io, "power failed");
  } catch (const Error&) {
  }
  EXPECT_EQ(read_text_file(path("result")), "old");
  EXPECT_EQ(entries(), 1u);
}

TEST_F(FileTest, FailedCommitLeavesTheTargetAlone) {
  std::filesystem::create_directory(path("result"));
  write_file_atomic(path("result") / "inside", as_bytes("x"));
  {
    AtomicFile file(path("result"));
    EXPECT_THROW(file.commit(), Error);  // a directory is in the way
  }
  EXPECT_EQ(entries(), 1u);
}

TEST_F(FileTest, DevicesAndPipesAreNotReplaced) {
  ASSERT_EQ(::mkfifo(path("pipe").c_str(), 0600), 0);
  try {
    AtomicFile file(path("pipe"));
    ADD_FAILURE() << "a file was about to take the place of a pipe";
  } catch (const Error& e) {
    EXPECT_NE(e.message().find(path("pipe").string()), std::string::npos) << e.message();
  }
  std::filesystem::create_symlink("pipe", path("link"));
  EXPECT_THROW(AtomicFile(path("link")), Error);

  const Fd reader = Fd::open(path("pipe"), O_RDONLY | O_NONBLOCK);
  write_file_atomic(path("pipe"), as_bytes("small"));
  EXPECT_EQ(as_text(read_file(reader, "pipe", 100)), "small");
  EXPECT_TRUE(std::filesystem::is_fifo(path("pipe")));
  EXPECT_EQ(entries(), 2u);
}

TEST_F(FileTest, KeptFileGetsItsOtherName) {
  AtomicFile file(path("result"));
  file.write(as_bytes("part"));
  file.keep_as(path("result.incomplete"));
  EXPECT_EQ(read_text_file(path("result.incomplete")), "part");
  EXPECT_FALSE(std::filesystem::exists(path("result")));
}

TEST_F(FileTest, PrivateByDefaultAndNoSymlinkIsFollowed) {
  AtomicFile file(path("result"));
  struct stat st {};
  ASSERT_EQ(::fstat(file.fd().get(), &st), 0);
  EXPECT_EQ(st.st_mode & 0777, 0600u);
  std::filesystem::path squatter = file.temporary_path();
  file.discard();
  std::filesystem::create_symlink(path("elsewhere"), squatter);
  EXPECT_THROW(AtomicFile{path("result")}, Error);
  EXPECT_FALSE(std::filesystem::exists(path("elsewhere")));
}

TEST_F(FileTest, SysRootPrefixesPaths) {
  std::filesystem::create_directories(path("proc"));
  write_file_atomic(path("proc/cmdline"), as_bytes("quiet splash\n"));
  SysRoot root(directory);
  EXPECT_EQ(root.read_line("/proc/cmdline"), "quiet splash");
  EXPECT_EQ(root.read_line("/proc/absent"), std::nullopt);
  EXPECT_TRUE(root.exists("/proc/cmdline"));
  EXPECT_FALSE(root.is_live());
  EXPECT_EQ(SysRoot().path("/proc/iomem"), "/proc/iomem");
}

// --- SIGBUS

class BusErrorTest : public FileTest {
 protected:
  // Two mapped pages of which the second is no longer in the file.
  BusErrorTest() {
    install_bus_error_handler();
    page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
    write_file_atomic(path("shrinking"), std::vector<uint8_t>(2 * page, 7));
    map = MappedFile::open(path("shrinking"));
    if (::truncate(path("shrinking").c_str(), static_cast<off_t>(page)) != 0) ADD_FAILURE();
  }
  bool copy(size_t offset) {
    uint8_t byte = 0;
    bool survived = touch_guarded([&] { std::memcpy(&byte, map.bytes().data() + offset, 1); });
    return survived && byte == 7;
  }
  size_t page = 0;
  MappedFile map;
};

TEST_F(BusErrorTest, ShrunkenFileCostsOnlyTheAccess) {
  for (int i = 0; i < 3; ++i) {  // again and again: the signal stays deliverable
    EXPECT_TRUE(copy(0));
    EXPECT_FALSE(copy(page));
  }
}

TEST_F(BusErrorTest, GuardsNest) {
  bool inner = true, after = false;
  bool outer = touch_guarded([&] {
    inner = copy(page);
    after = true;
  });
  EXPECT_TRUE(outer);
  EXPECT_FALSE(inner);
  EXPECT_TRUE(after);
}

TEST_F(BusErrorTest, ThreadsAreIndependent) {
  std::atomic<int> survived = 0, cut = 0;
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i < 200; ++i) ++(copy(i % 2 == 0 ? 0 : page) ? survived : cut);
      });
    }
  }
  EXPECT_EQ(survived, 400);
  EXPECT_EQ(cut, 400);
}

using BusErrorDeathTest = BusErrorTest;
TEST_F(BusErrorDeathTest, OutsideAGuardItStillKills) {
  EXPECT_DEATH(
      {
        volatile const uint8_t* gone = map.bytes().data() + page;
        std::_Exit(*gone == 7 ? 0 : 1);
      },
      "");
}

}  // namespace
}  // namespace kdk
