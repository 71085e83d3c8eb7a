// verify and reload, on a machine that changes after the load.
#include "loader/state/reload.h"

#include <gtest/gtest.h>

#include <atomic>
#include <fstream>
#include <thread>

#include "core/base/error.h"
#include "loader/state/kept_files.h"
#include "loader/state/verify.h"
#include "tests/support/fake_machine.h"

namespace kdk {
namespace {

using testing::FakeMachine;
using State = LoadVerification::State;
using namespace std::chrono_literals;

class ReloadTest : public ::testing::Test {
 protected:
  explicit ReloadTest(FakeMachine fake = {}, std::vector<uint8_t> kernel = testing::FakeImage().bytes())
      : fake_(std::move(fake)), root_(dir_.path()) {
    fake_.write(dir_.path());
    testing::write_test_file(kernel_, kernel);
    testing::write_test_file(initrd_, testing::gzip(testing::fake_cpio({{"init", 5000}})));
    request_.kernel = kernel_;
    request_.initrd = initrd_;
    kexec_.load = [this](const LoadPlan& plan, const LoadFiles&) {
      ++loads_;
      cpus_loaded_ = plan.cpu_notes.size();
      set_loaded(true);
    };
    kexec_.loaded = [this] { return crash_kernel_loaded(root_); };
    arm(root_, prepare_load(read_machine(root_), request_), kexec_);
    loads_ = 0;
  }
  void set_loaded(bool loaded) {
    fake_.crash_loaded = loaded ? "1\n" : "0\n";
    std::ofstream(dir_.path() / "sys/kernel/kexec_crash_loaded") << fake_.crash_loaded;
  }
  // The machine as `changed` says, with what the load left.
  void become(FakeMachine changed) {
    LoadRecord record = read_record(root_).value();
    changed.crash_loaded = "1\n";
    changed.write(dir_.path());
    write_record(root_, record);
  }
  // "name" of every failed check.
  std::vector<std::string> differing() {
    std::vector<std::string> names;
    for (const Check& check : verify_load(root_).checks) {
      if (check.status == Check::Status::failed) names.push_back(check.name);
    }
    return names;
  }
  // `changed` is stale where the kernel did not take the flag, and still fits where it follows.
  void expect_stale_unless_followed(FakeMachine changed) {
    using Names = std::vector<std::string>;
    changed.crash_hotplug = "0\n";
    become(changed);
    EXPECT_EQ(differing(), (Names{"machine", "plan"}));
    changed.crash_hotplug = "1\n";
    become(changed);
    EXPECT_EQ(differing(), Names{});
    EXPECT_EQ(reload(root_, true, kexec_), ReloadOutcome::still_fits);
    EXPECT_EQ(loads_, 0);
  }

  testing::TempDir dir_, files_;
  FakeMachine fake_;
  SysRoot root_;
  std::string kernel_ = files_.path() / "vmlinuz", initrd_ = files_.path() / "initrd";
  LoadRequest request_;
  KexecActions kexec_;
  int loads_ = 0;
  size_t cpus_loaded_ = 0;
};

class ReloadX86Test : public ReloadTest {
 protected:
  ReloadX86Test() : ReloadTest(FakeMachine::x86_64(), testing::FakeBzImage().bytes()) {}
};

using Strings = std::vector<std::string>;

TEST_F(ReloadTest, AnUnchangedMachineIsVerified) {
  LoadVerification result = verify_load(root_);
  EXPECT_EQ(result.state, State::verified) << verification_to_text(result);
  Strings names;
  for (const Check& check : result.checks) names.push_back(check.name);
  EXPECT_EQ(names, (Strings{"record", "kernel_file", "initrd_file", "machine", "plan"}));
}

TEST_F(ReloadTest, FilesThatChangedOrWentAreNamed) {
  testing::write_test_file(initrd_, testing::gzip(testing::fake_cpio({{"init", 6000}})));
  EXPECT_EQ(differing(), Strings{"initrd_file"});
  std::filesystem::remove(kernel_);
  EXPECT_EQ(differing(), (Strings{"kernel_file", "initrd_file"}));
  EXPECT_NE(verification_to_text(verify_load(root_)).find("does not exist any more"), std::string::npos);
  // Without the copy the plan cannot be compared; it is still stale.
  remove_kept_files(root_);
  EXPECT_EQ(verify_load(root_).state, State::stale);
}

TEST_F(ReloadTest, TheMachineAndThePlanAreCompared) {
  FakeMachine changed = fake_;
  changed.cpus.push_back({2, 0x7fe00000});
  become(changed);
  EXPECT_EQ(differing(), (Strings{"machine", "plan"}));
  changed = fake_;
  changed.command_line += " new_option=1";  // kexec'd into, or an edited recording
  become(changed);
  EXPECT_EQ(differing(), Strings{"plan"});
  changed = fake_;
  changed.iomem.replace(changed.iomem.find("7abfffff"), 8, "79bfffff");
  become(changed);
  EXPECT_EQ(differing(), (Strings{"machine", "plan"}));
  become(fake_);
  EXPECT_EQ(verify_load(root_).state, State::verified);
}

TEST_F(ReloadTest, AHeaderThatTheKernelKeepsIsNotCompared) {
  fake_.elfcorehdr_size = "917616\n";
  fake_.write(dir_.path());
  arm(root_, prepare_load(read_machine(root_), request_), kexec_);
  loads_ = 0;
  FakeMachine changed = fake_;
  changed.cpus.push_back({2, 0x7fe00000});
  expect_stale_unless_followed(changed);
}

TEST_F(ReloadX86Test, MemoryThatTheKernelFollowsNeedsNoFurtherPageTables) {
  FakeMachine changed = fake_;
  changed.iomem += "100000000-10ffffffff : System RAM\n";  // 64 GiB: their bound grows
  expect_stale_unless_followed(changed);
}

TEST_F(ReloadTest, WhatWouldHinderTheNextLoadIsOnlyAWarning) {
  FakeMachine changed = fake_;
  changed.load_disabled = "1\n";
  become(changed);
  LoadVerification result = verify_load(root_);
  EXPECT_EQ(result.state, State::verified);
  EXPECT_EQ(result.checks.back().name, "next_load");
  EXPECT_EQ(result.checks.back().status, Check::Status::warning);
}

TEST_F(ReloadTest, WithoutARecordItIsUnknownAndUnloadedItIsNotArmed) {
  remove_record(root_);
  EXPECT_EQ(verify_load(root_).state, State::unknown);
  set_loaded(false);
  EXPECT_EQ(verify_load(root_).state, State::not_armed);
}

TEST_F(ReloadTest, LoadsOnlyWhatIsStale) {
  EXPECT_EQ(reload(root_, true, kexec_), ReloadOutcome::still_fits);
  EXPECT_EQ(loads_, 0);
  FakeMachine changed = fake_;
  changed.cpus.push_back({2, 0x7fe00000});
  become(changed);
  EXPECT_EQ(read_status(root_).state, LoadStatus::State::stale);
  EXPECT_EQ(reload(root_, true, kexec_), ReloadOutcome::reloaded);
  EXPECT_EQ(loads_, 1);
  EXPECT_EQ(cpus_loaded_, 3u);
  EXPECT_EQ(verify_load(root_).state, State::verified);
  EXPECT_EQ(reload(root_, true, kexec_), ReloadOutcome::still_fits);
  EXPECT_EQ(reload(root_, false, kexec_), ReloadOutcome::reloaded);
}

TEST_F(ReloadTest, ALoadThatWasLostIsDoneAgain) {
  set_loaded(false);
  EXPECT_EQ(reload(root_, true, kexec_), ReloadOutcome::reloaded);
}

TEST_F(ReloadTest, NothingOfOursIsLeftAlone) {
  remove_record(root_);
  EXPECT_EQ(reload(root_, true, kexec_), ReloadOutcome::not_loaded_by_us);
  EXPECT_THROW(reload(root_, false, kexec_), Error);
  EXPECT_EQ(loads_, 0);
}

TEST_F(ReloadTest, AFailedCheckLeavesTheLoadedImage) {
  FakeMachine changed = fake_;
  changed.load_disabled = "1\n";
  become(changed);
  try {
    reload(root_, false, kexec_);
    FAIL();
  } catch (const Error& e) {
    EXPECT_NE(e.message().find("still armed"), std::string::npos);
  }
  EXPECT_EQ(loads_, 0);
}

TEST(Coalescing, AStormIsOneRunAndOneMoreForWhatCameMeanwhile) {
  testing::TempDir dir;
  SysRoot root(dir.path());
  std::atomic<int> runs = 0, done_here = 0;
  auto request = [&](const std::function<void()>& during) {
    if (run_coalesced(root, {200ms, 5s}, [&] {
          ++runs;
          during();
        }))
      ++done_here;
  };
  std::vector<std::thread> storm;
  storm.reserve(30);
  for (int i = 0; i < 30; ++i) {
    storm.emplace_back([&] { request([] {}); });
    std::this_thread::sleep_for(5ms);
  }
  for (std::thread& thread : storm) thread.join();
  EXPECT_EQ(runs, 1);
  EXPECT_EQ(done_here, 1);
  // One that comes while the work is done is not lost.
  runs = 0;
  bool first = true;
  request([&] {
    if (std::exchange(first, false)) std::thread([&] { request([] {}); }).join();
  });
  EXPECT_EQ(runs, 2);
}

TEST(Coalescing, AnEndlessStormDoesNotPutItOffForEver) {
  testing::TempDir dir;
  SysRoot root(dir.path());
  std::atomic<bool> stop = false;
  std::atomic<int> runs = 0;
  auto work = [&] {
    ++runs;
    stop = true;
  };
  std::thread first([&] { run_coalesced(root, {500ms, 1s}, work); });
  auto begin = std::chrono::steady_clock::now();
  while (!stop && std::chrono::steady_clock::now() - begin < 20s) {
    std::this_thread::sleep_for(20ms);
    if (!stop) run_coalesced(root, {500ms, 1s}, work);
  }
  first.join();
  EXPECT_GE(runs, 1);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 10s);
}

TEST(Coalescing, FailedWorkFreesTheLock) {
  testing::TempDir dir;
  SysRoot root(dir.path());
  EXPECT_THROW(run_coalesced(root, {}, [] { throw Error(Errc::io, "no"); }), Error);
  int runs = 0;
  EXPECT_TRUE(run_coalesced(root, {}, [&] { ++runs; }));
  EXPECT_EQ(runs, 1);
}

}  // namespace
}  // namespace kdk
