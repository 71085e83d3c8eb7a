#include "loader/prove/crash_test.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "core/base/error.h"
#include "tests/support/fake_machine.h"

namespace kdk {
namespace {

using State = CrashTestOutcome::State;

void put(const std::filesystem::path& path, std::string_view text) {
  std::filesystem::create_directories(path.parent_path());
  testing::write_test_file(path, as_bytes(text));
}

// A machine whose dumps go to /var/crash, rebooted after a crash test.
class CrashTestFile : public ::testing::Test {
 protected:
  CrashTestFile() : root_(dir_.path()) {
    boot("before");
    put(root_.path("/etc/kdumpkit.toml"), "[[target]]\nkind = \"directory\"\npath = \"/var/crash\"\n");
    test_ = new_crash_test(root_, {});
    write_crash_test(root_, test_);
  }
  void boot(std::string_view id) { put(root_.path("/proc/sys/kernel/random/boot_id"), id); }
  std::filesystem::path crash(std::string_view name) { return root_.path("/var/crash") / name; }
  std::string log() const { return "[ 1.0] something\n[ 2.0] " + crash_test_line(test_) + "\n[ 3.0] end\n"; }
  CrashTestOutcome outcome(const std::vector<std::string>& more = {}) {
    boot("after");
    std::filesystem::create_directories(root_.path("/var/crash"));
    return find_crash_test(root_, more).value();
  }

  testing::TempDir dir_;
  SysRoot root_;
  CrashTest test_;
};

TEST_F(CrashTestFile, IsKept) {
  std::optional<CrashTest> read = read_crash_test(root_);
  ASSERT_TRUE(read);
  EXPECT_EQ(read->mark, test_.mark);
  EXPECT_EQ(read->boot_id, "before");
  EXPECT_NE(new_crash_test(root_, {}).mark, test_.mark);
  remove_crash_test(root_);
  EXPECT_FALSE(find_crash_test(root_, {}));
}

TEST_F(CrashTestFile, PendingInTheBootItIsFor) {
  EXPECT_EQ(find_crash_test(root_, {})->state, State::pending);
}

TEST_F(CrashTestFile, NothingArrived) {
  put(crash("older/dmesg.txt"), "kdumpkit: crash test 0123456789abcdef\n");
  put(crash("older/vmcore"), "x");
  CrashTestOutcome found = outcome();
  EXPECT_EQ(found.state, State::not_arrived);
  EXPECT_EQ(found.searched, std::vector<std::string>{"/var/crash"});
  EXPECT_NE(crash_test_to_text(found).find("DID NOT ARRIVE"), std::string::npos);
}

TEST_F(CrashTestFile, Whole) {
  put(crash("host-1/dmesg.txt"), log());
  put(crash("host-1/vmcore"), "x");
  put(crash("host-1/summary.json"), R"({"status": "complete", "reasons": []})");
  CrashTestOutcome found = outcome();
  EXPECT_EQ(found.state, State::arrived);
  EXPECT_EQ(found.where, crash("host-1").string());
  EXPECT_TRUE(found.notes.empty());
}

TEST_F(CrashTestFile, WithoutASummaryItIsSaid) {
  put(crash("202611281800/dmesg.202611281800"), log());
  put(crash("202611281800/dump.202611281800"), "x");
  CrashTestOutcome found = outcome();
  EXPECT_EQ(found.state, State::arrived);
  EXPECT_EQ(found.notes.size(), 1u);
}

TEST_F(CrashTestFile, IncompleteByNameOrSummary) {
  put(crash("host-1.incomplete/dmesg.txt"), log());
  put(crash("host-1.incomplete/vmcore.incomplete"), "x");
  EXPECT_EQ(outcome().state, State::incomplete);
  std::filesystem::rename(crash("host-1.incomplete"), crash("host-1"));
  std::filesystem::rename(crash("host-1/vmcore.incomplete"), crash("host-1/vmcore"));
  put(crash("host-1/summary.json"), R"({"status": "partial", "reasons": ["no space left"]})");
  CrashTestOutcome found = outcome();
  EXPECT_EQ(found.state, State::incomplete);
  EXPECT_EQ(found.notes.back(), "no space left");
}

TEST_F(CrashTestFile, OnlyTheLog) {
  put(crash("host-1/dmesg.txt"), log());
  put(crash("host-1/vmcore"), "");
  EXPECT_EQ(outcome().state, State::log_only);
}

TEST_F(CrashTestFile, HostileSummary) {
  put(crash("host-1/dmesg.txt"), log());
  put(crash("host-1/vmcore"), "x");
  for (std::string_view text : {"", "[", "7", R"({"status": 7})", R"({"status": "complete")"}) {
    put(crash("host-1/summary.json"), text);
    CrashTestOutcome found = outcome();
    EXPECT_EQ(found.state, State::incomplete) << text;
    EXPECT_EQ(found.notes.size(), 1u);
  }
}

// A log that is no file would be waited for.
TEST_F(CrashTestFile, DoesNotOpenPipesOrLinks) {
  put(crash("host-1/real"), log());
  ::mkfifo(crash("host-1/dmesg.fifo").c_str(), 0600);
  std::filesystem::create_symlink(crash("host-1/real"), crash("host-1/dmesg.link"));
  EXPECT_EQ(outcome().state, State::not_arrived);
}

TEST_F(CrashTestFile, FilesInTheDirectoryItself) {
  put(root_.path("/mnt/out/dmesg.txt"), log());
  put(root_.path("/mnt/out/vmcore"), "x");
  EXPECT_EQ(outcome().state, State::not_arrived);
  EXPECT_EQ(outcome({"/mnt/out"}).state, State::arrived);
}

TEST_F(CrashTestFile, DirectoriesOfTheTestAreRemembered) {
  test_.dump_directories = {"/mnt/out"};
  write_crash_test(root_, test_);
  put(root_.path("/mnt/out/a/dmesg.txt"), log());
  put(root_.path("/mnt/out/a/vmcore"), "x");
  EXPECT_EQ(outcome().state, State::arrived);
}

TEST_F(CrashTestFile, TargetsThatCannotBeSearchedAreNamed) {
  put(root_.path("/etc/kdumpkit.toml"),
      "[[target]]\nkind = \"mount\"\ndevice = \"LABEL=crash\"\n"
      "[[target]]\nkind = \"raw\"\ndevice = \"/dev/vdb\"\n"
      "[[target]]\nkind = \"ssh\"\nserver = \"a@b\"\n");
  CrashTestOutcome found = outcome();
  EXPECT_EQ(found.state, State::not_arrived);
  ASSERT_EQ(found.notes.size(), 3u);
  EXPECT_NE(found.notes[0].find("LABEL=crash is not mounted"), std::string::npos);
  EXPECT_NE(found.notes[1].find("kdump-capture fetch"), std::string::npos);
  EXPECT_NE(found.notes[2].find("ssh"), std::string::npos);
}

TEST_F(CrashTestFile, MountedTargetsAreFoundByTheirDevice) {
  put(root_.path("/dev/vdb"), "");
  std::filesystem::create_directories(root_.path("/dev/disk/by-label"));
  std::filesystem::create_symlink("../../vdb", root_.path("/dev/disk/by-label/crash"));
  put(root_.path("/proc/self/mounts"), "proc /proc proc rw 0 0\n/dev/vdb /srv/crash ext4 rw 0 0\n");
  put(root_.path("/etc/kdumpkit.toml"),
      "[[target]]\nkind = \"mount\"\ndevice = \"LABEL=crash\"\npath = \"dumps\"\n");
  put(root_.path("/srv/crash/dumps/host-1/dmesg.txt"), log());
  put(root_.path("/srv/crash/dumps/host-1/vmcore"), "x");
  EXPECT_EQ(outcome().state, State::arrived);
}

TEST_F(CrashTestFile, DamagedRecordOrConfiguration) {
  put(root_.path("/etc/kdumpkit.toml"), "[[target]\n");
  EXPECT_FALSE(outcome().notes.empty());
  for (std::string_view text : {"", "[]", R"({"mark": "0123"})", "{\"mark\": 7}"}) {
    put(root_.path(crash_test_path), text);
    EXPECT_THROW(read_crash_test(root_), Error) << text;
    EXPECT_EQ(outcome().state, State::unknown);
  }
}

}  // namespace
}  // namespace kdk
