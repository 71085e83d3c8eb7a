#include "loader/state/status.h"

#include <gtest/gtest.h>

#include "core/base/error.h"
#include "tests/support/fake_machine.h"

namespace kdk {
namespace {

using testing::FakeMachine;
using State = LoadStatus::State;
using Strings = std::vector<std::string>;

// A machine on which `load` has just succeeded.
class StatusTest : public ::testing::Test {
 protected:
  StatusTest() : root_(dir_.path()) {
    fake_.crash_loaded = "1\n";
    fake_.write(dir_.path());
    kernel_ = files_.path() / "vmlinuz \"x\"";
    testing::write_test_file(kernel_, testing::FakeImage().bytes());
    LoadRequest request;
    request.kernel = kernel_;
    record_ = make_record(root_, prepare_load(read_machine(root_), request));
    write_record(root_, record_);
  }
  // The machine after a change; the record stays.
  LoadStatus after(const FakeMachine& changed) {
    changed.write(dir_.path());
    write_record(root_, record_);
    return read_status(root_);
  }

  testing::TempDir dir_;
  testing::TempDir files_;
  std::string kernel_;
  SysRoot root_;
  FakeMachine fake_;
  LoadRecord record_;
};

TEST_F(StatusTest, ArmedWithItsRecord) {
  LoadStatus status = read_status(root_);
  EXPECT_EQ(status.state, State::armed);
  EXPECT_TRUE(status.reasons.empty());
  EXPECT_EQ(status.reserved_bytes, 268435456u);
  ASSERT_TRUE(status.record);
  EXPECT_EQ(status.record->kernel.path, kernel_);
  EXPECT_EQ(status.record->kernel.sha256.size(), 64u);
  EXPECT_EQ(status.record->cpu_notes, record_.cpu_notes);
  EXPECT_EQ(status.record->crash_regions, record_.crash_regions);
  EXPECT_EQ(status.record->system_ram, record_.system_ram);
  ASSERT_TRUE(status.record->request);
  EXPECT_EQ(status.record->request->kernel, kernel_);
  EXPECT_EQ(status.record->segments, record_.segments);
  EXPECT_FALSE(record_.segments.empty());
}

TEST_F(StatusTest, NotArmed) {
  fake_.crash_loaded = "0\n";
  EXPECT_EQ(after(fake_).state, State::not_armed);
  fake_.crash_size = "0\n";
  LoadStatus status = after(fake_);
  ASSERT_EQ(status.reasons.size(), 1u);
  EXPECT_NE(status.reasons[0].find("crashkernel="), std::string::npos);
}

TEST_F(StatusTest, HotplugMakesItStale) {
  FakeMachine more_cpus = fake_;
  more_cpus.cpus.push_back({2, 0x7fe00000});
  EXPECT_EQ(after(more_cpus).state, State::stale);
  FakeMachine moved = fake_;
  moved.cpus[1].notes += 0x1000;
  EXPECT_EQ(after(moved).state, State::stale);
  FakeMachine more_memory = fake_;
  more_memory.iomem += "8000000000-803fffffff : System RAM\n";
  EXPECT_EQ(after(more_memory).state, State::stale);
  FakeMachine shrunk = fake_;
  shrunk.iomem.replace(shrunk.iomem.find("7abfffff"), 8, "79bfffff");
  EXPECT_EQ(after(shrunk).state, State::stale);
  EXPECT_EQ(after(fake_).state, State::armed);
}

TEST_F(StatusTest, RecordsThatDoNotApply) {
  FakeMachine rebooted = fake_;
  rebooted.boot_id = "99999999-2222-3333-4444-555555555555";
  LoadStatus status = after(rebooted);
  EXPECT_EQ(status.state, State::armed);
  EXPECT_FALSE(status.record);
  EXPECT_EQ(status.reasons.size(), 1u);

  fake_.write(dir_.path());
  for (std::string_view bad : {"", "{", "[]", "{\"boot_id\": 5}", "null", "\xff\xfe"}) {
    testing::write_test_file(root_.path(load_record_path), as_bytes(bad));
    status = read_status(root_);
    EXPECT_EQ(status.state, State::armed) << bad;
    EXPECT_FALSE(status.record) << bad;
    ASSERT_EQ(status.reasons.size(), 1u) << bad;
    EXPECT_NE(status.reasons[0].find("loaded.json"), std::string::npos) << bad;
  }
}

TEST_F(StatusTest, ChangesThatMayNotBeLookedAtAreSaid) {
  fake_.iomem = "00000000-00000000 : System RAM\n";
  LoadStatus status = after(fake_);
  EXPECT_EQ(status.state, State::armed);
  ASSERT_EQ(status.reasons.size(), 1u);
  EXPECT_NE(status.reasons[0].find("not checked"), std::string::npos);
}

TEST(X86StatusTest, ACpuThatWasNeverStartedIsNamed) {
  testing::TempDir dir;
  SysRoot root(dir.path());
  FakeMachine fake = FakeMachine::x86_64();
  fake.cpus.push_back({2, 0x3f110000});
  fake.crash_loaded = "1\n";
  fake.write(dir.path());
  testing::write_test_file(dir.path() / "vmlinuz", testing::FakeBzImage().bytes());
  LoadRequest request;
  request.kernel = dir.path() / "vmlinuz";
  write_record(root, make_record(root, prepare_load(read_machine(root), request)));
  auto reasons_with = [&](std::string_view online, std::string_view softirqs) {
    testing::write_test_file(root.path("/sys/devices/system/cpu/cpu2/online"), as_bytes(online));
    testing::write_test_file(root.path("/proc/softirqs"), as_bytes(softirqs));
    LoadStatus status = read_status(root);
    EXPECT_EQ(status.state, State::armed);
    return status.reasons;
  };
  std::string_view never = " CPU0 CPU1 CPU2\n HI: 0 0 0\n TIMER: 600 310 0\n";
  std::vector<std::string> reasons = reasons_with("0\n", never);
  ASSERT_EQ(reasons.size(), 1u);
  EXPECT_NE(reasons[0].find("CPU 2 was never online"), std::string::npos) << reasons[0];
  EXPECT_EQ(reasons_with("0\n", " CPU0 CPU1 CPU2\n HI: 0 0 0\n TIMER: 600 310 1\n"), Strings{});
  EXPECT_EQ(reasons_with("1\n", never), Strings{});
  // What cannot be read is said, and no reason to call it anything but armed.
  for (std::string_view bad : {"", "CPU0 CPUx\n", "CPU0\nHI: 1 2\n", "CPU0\nHI: -1\n", "no table"}) {
    reasons = reasons_with("0\n", bad);
    ASSERT_EQ(reasons.size(), 1u) << bad;
    EXPECT_NE(reasons[0].find("/proc/softirqs"), std::string::npos) << bad;
  }
}

TEST_F(StatusTest, KernelWithoutKexec) {
  std::filesystem::remove(dir_.path() / "sys/kernel/kexec_crash_loaded");
  EXPECT_THROW(read_status(root_), Error);
}

}  // namespace
}  // namespace kdk
