// Loading over a loaded image, with a kernel that does what Linux does: it frees the old image first.
#include "loader/state/arm.h"

#include <gtest/gtest.h>

#include <fstream>

#include "core/base/error.h"
#include "loader/state/kept_files.h"
#include "loader/state/status.h"
#include "tests/support/fake_machine.h"

namespace kdk {
namespace {

namespace fs = std::filesystem;

class ArmTest : public ::testing::Test {
 protected:
  ArmTest() : root_(dir_.path()) {
    FakeMachine().write(dir_.path());
    write_kernel(0x20000);
    request_.kernel = kernel_;
    kexec_.load = [this](const LoadPlan& plan, const LoadFiles&) {
      if (refuses_at_once_) throw Error(Errc::denied, "not allowed");
      set_loaded("");
      if (plan.kernel.sha256 == refused_) throw Error(Errc::format, "not liked");
      set_loaded(plan.kernel.sha256);
    };
    kexec_.unload = [this] { set_loaded(""); };
    kexec_.loaded = [this] { return crash_kernel_loaded(root_); };
  }

  void set_loaded(const std::string& sha256) {
    in_kernel_ = sha256;
    std::ofstream(dir_.path() / "sys/kernel/kexec_crash_loaded") << (sha256.empty() ? "0\n" : "1\n");
  }
  // Replaces the kernel file by one of another content.
  void write_kernel(uint64_t size) {
    testing::FakeImage image;
    image.file_size = size;
    image.pe = false;
    testing::write_test_file(kernel_, image.bytes());
  }
  PreparedLoad prepare() { return prepare_load(read_machine(root_), request_); }
  // The message of the failed arm().
  std::string failure() {
    PreparedLoad next = prepare();
    refused_ = next.plan.kernel.sha256;
    try {
      arm(root_, next, kexec_);
    } catch (const Error& e) {
      return e.message();
    }
    ADD_FAILURE() << "the kernel refused, but arm() did not say so";
    return "";
  }

  using FakeMachine = testing::FakeMachine;
  testing::TempDir dir_;
  testing::TempDir files_;
  std::string kernel_ = files_.path() / "vmlinuz";
  SysRoot root_;
  LoadRequest request_;
  KexecActions kexec_;
  std::string in_kernel_;
  std::string refused_;
  bool refuses_at_once_ = false;
};

TEST_F(ArmTest, TheImageBeforeIsPutBackFromItsCopy) {
  PreparedLoad first = prepare();
  arm(root_, first, kexec_);
  EXPECT_EQ(in_kernel_, first.plan.kernel.sha256);
  write_kernel(0x30000);
  std::string message = failure();
  EXPECT_NE(message.find("not liked; "), std::string::npos) << message;
  EXPECT_NE(message.find("loaded again: this machine is armed"), std::string::npos) << message;
  EXPECT_EQ(in_kernel_, first.plan.kernel.sha256);
  // The record is that of the image in the kernel, under the name it was asked for.
  LoadStatus status = read_status(root_);
  EXPECT_EQ(status.state, LoadStatus::State::armed);
  ASSERT_TRUE(status.record);
  EXPECT_EQ(status.record->kernel.sha256, first.plan.kernel.sha256);
  EXPECT_EQ(status.record->request->kernel, kernel_);
  // And it can be put back a second time.
  EXPECT_NE(failure().find("armed"), std::string::npos);
  EXPECT_EQ(in_kernel_, first.plan.kernel.sha256);
}

TEST_F(ArmTest, ADamagedCopyIsNotPutBack) {
  arm(root_, prepare(), kexec_);
  for (const auto& entry : fs::directory_iterator(root_.path(kept_files_path))) {
    fs::resize_file(entry.path(), fs::file_size(entry.path()) - 1);
  }
  write_kernel(0x30000);
  std::string message = failure();
  EXPECT_NE(message.find("there is no copy"), std::string::npos) << message;
  EXPECT_NE(message.find("NO CRASH KERNEL NOW"), std::string::npos) << message;
  EXPECT_EQ(read_status(root_).state, LoadStatus::State::not_armed);
}

TEST_F(ArmTest, AnImageOfAnotherProgramCannotBePutBack) {
  set_loaded("another program's");
  std::string message = failure();
  EXPECT_NE(message.find("another program"), std::string::npos) << message;
  EXPECT_NE(message.find("NO CRASH KERNEL NOW"), std::string::npos) << message;
}

TEST_F(ArmTest, ARefusalThatFreesNothingLeavesTheImage) {
  PreparedLoad first = prepare();
  arm(root_, first, kexec_);
  refuses_at_once_ = true;
  write_kernel(0x30000);
  EXPECT_NE(failure().find("still armed"), std::string::npos);
  EXPECT_EQ(in_kernel_, first.plan.kernel.sha256);
  EXPECT_EQ(read_status(root_).record->kernel.sha256, first.plan.kernel.sha256);
}

TEST_F(ArmTest, AFirstLoadThatFailsSaysNothingIsLoaded) {
  EXPECT_NE(failure().find("no crash kernel is loaded"), std::string::npos);
  EXPECT_FALSE(read_record(root_));
}

TEST_F(ArmTest, OnlyTheFilesOfTheLoadedImageAreKept) {
  arm(root_, prepare(), kexec_);
  write_kernel(0x30000);
  PreparedLoad second = prepare();
  arm(root_, second, kexec_);
  fs::path directory = root_.path(kept_files_path);
  std::vector<fs::path> kept(fs::directory_iterator(directory), fs::directory_iterator{});
  ASSERT_EQ(kept.size(), 1u);
  EXPECT_TRUE(has_content(kept[0], second.plan.kernel));
  EXPECT_EQ(fs::status(kept[0]).permissions(), fs::perms::owner_read | fs::perms::owner_write);
  disarm(root_, kexec_);
  EXPECT_FALSE(fs::exists(directory));
  EXPECT_FALSE(read_record(root_));
}

TEST_F(ArmTest, AMachineWithoutALockIsArmedAllTheSame) {
  EXPECT_TRUE(lock_loading(root_));
  std::filesystem::remove_all(dir_.path() / "run");
  std::ofstream(dir_.path() / "run") << "no directory";
  EXPECT_FALSE(lock_loading(root_));
  PreparedLoad load = prepare();
  arm(root_, load, kexec_);
  EXPECT_EQ(in_kernel_, load.plan.kernel.sha256);
  EXPECT_TRUE(
      has_content(root_.path(kept_files_path) / ("kernel-" + load.plan.kernel.sha256), load.plan.kernel));
}

}  // namespace
}  // namespace kdk
