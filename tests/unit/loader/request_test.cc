// From the options of a load to a plan: what is taken out of a unified kernel image, and how a later process
// does the same load again.
#include "loader/state/request.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <fstream>

#include "core/base/error.h"
#include "loader/reserve/recommend.h"
#include "loader/state/arm.h"
#include "loader/state/kept_files.h"
#include "loader/state/verify.h"
#include "tests/support/fake_containers.h"
#include "tests/support/fake_machine.h"
#include "tests/support/packers.h"

namespace kdk {
namespace {

namespace fs = std::filesystem;
using testing::make_unified;

std::vector<uint8_t> bytes_of(std::string_view text) {
  return {text.begin(), text.end()};
}

// A zboot image in a unified kernel image.
std::vector<uint8_t> nested(std::string_view command_line = "root=/dev/vda2 quiet crashkernel=256M\n",
                            uint64_t init_size = 5000) {
  return make_unified({{".cmdline", bytes_of(command_line)},
                       {".initrd", testing::gzip(testing::fake_cpio({{"init", init_size}}))},
                       {".linux", testing::make_zboot("xzkern", testing::xz(testing::FakeImage().bytes()))}});
}

class RequestTest : public ::testing::Test {
 protected:
  RequestTest() : root_(machine_.path()) {
    testing::FakeMachine fake;
    fake.config = "CONFIG_KEXEC=y\nCONFIG_KEXEC_FILE=y\n";
    fake.write(machine_.path());
    request_.kernel = kernel_;
    request_.uki_initrd = request_.uki_command_line = true;
    testing::write_test_file(kernel_, nested());
  }
  PreparedLoad prepare() { return prepare_load(read_machine(root_), request_); }
  std::string error_of(const std::vector<uint8_t>& kernel, Errc code) {
    testing::write_test_file(kernel_, kernel);
    try {
      prepare();
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), code) << e.message();
      EXPECT_TRUE(e.message().starts_with(kernel_)) << e.message();
      return e.message() + "; " + e.hint();
    }
    ADD_FAILURE() << "prepared";
    return "";
  }
  void set_loaded(bool loaded) {
    std::ofstream(machine_.path() / "sys/kernel/kexec_crash_loaded") << (loaded ? "1\n" : "0\n");
  }

  testing::TempDir machine_, files_;
  std::string kernel_ = files_.path() / "linux.efi";
  SysRoot root_;
  LoadRequest request_;
};

TEST_F(RequestTest, InitramfsAndCommandLineOfAUnifiedImage) {
  for (LoadCall call : {LoadCall::kexec_file_load, LoadCall::kexec_load}) {
    request_.call = call;
    PreparedLoad load = prepare();
    EXPECT_TRUE(load.plan.good());
    EXPECT_EQ(load.plan.image.compression, "unified kernel image, EFI zboot (xz)");
    const std::vector<uint8_t> initrd = testing::gzip(testing::fake_cpio({{"init", 5000}}));
    ASSERT_TRUE(load.plan.initrd);
    EXPECT_EQ(load.plan.initrd->path, kernel_);
    EXPECT_EQ(load.plan.initrd->section, ".initrd");
    EXPECT_EQ(load.plan.initrd->size, initrd.size());
    EXPECT_FALSE(load.files.initrd);
    if (call == LoadCall::kexec_load) {
      EXPECT_EQ(load.plan.find_segment("kernel")->data, testing::FakeImage().bytes());
      EXPECT_EQ(load.plan.find_segment("initrd")->data, initrd);
    } else {
      EXPECT_EQ(load.plan.unpacked_kernel, testing::FakeImage().bytes());
      EXPECT_EQ(load.plan.extracted_initrd, initrd);
    }
    // As the running kernel's line is cleaned and added to.
    EXPECT_EQ(load.plan.command_line.source, "unified kernel image");
    EXPECT_EQ(load.plan.command_line.removed, (std::vector<std::string>{"quiet", "crashkernel=256M"}));
    EXPECT_TRUE(load.plan.command_line.text.starts_with("root=/dev/vda2 reset_devices"))
        << load.plan.command_line.text;
  }
  // Each by itself.
  request_.uki_initrd = false;
  EXPECT_FALSE(prepare().plan.initrd);
  request_.uki_initrd = true;
  request_.uki_command_line = false;
  EXPECT_EQ(prepare().plan.command_line.source, "running kernel");
}

TEST_F(RequestTest, WhatTheImageLacksIsNamed) {
  const std::vector<uint8_t> image = testing::FakeImage().bytes();
  EXPECT_NE(error_of(make_unified({{".linux", image}, {".cmdline", bytes_of("ro")}}), Errc::missing)
                .find("no initramfs (section .initrd); give one with --initrd"),
            std::string::npos);
  EXPECT_NE(error_of(make_unified({{".linux", image}, {".initrd", bytes_of("070701")}}), Errc::missing)
                .find("no command line (section .cmdline); give one with --command-line"),
            std::string::npos);
  // There, and empty.
  error_of(make_unified({{".linux", image}, {".initrd", {}}, {".cmdline", bytes_of("ro")}}), Errc::missing);
  error_of(nested("\n"), Errc::missing);
  EXPECT_NE(error_of(image, Errc::unsupported).find("not a unified kernel image"), std::string::npos);
  std::vector<uint8_t> cut = nested();
  cut.resize(cut.size() / 2);
  EXPECT_NE(error_of(cut, Errc::format).find("truncated"), std::string::npos);
}

TEST_F(RequestTest, TheSameLoadIsDoneAgain) {
  std::optional<InputIdentity> loaded;
  KexecActions kexec;
  bool refuses = false;
  kexec.load = [&](const LoadPlan& plan, const LoadFiles& files) {
    set_loaded(false);
    if (std::exchange(refuses, false)) throw Error(Errc::format, "not liked");
    EXPECT_FALSE(files.initrd);
    loaded = plan.initrd;
    set_loaded(true);
  };
  kexec.loaded = [&] { return crash_kernel_loaded(root_); };
  PreparedLoad first = prepare();
  arm(root_, first, kexec);
  EXPECT_EQ(verify_load(root_).state, LoadVerification::State::verified);
  std::optional<LoadRecord> record = read_record(root_);
  ASSERT_TRUE(record);
  EXPECT_TRUE(record->request->uki_initrd);
  EXPECT_TRUE(record->request->uki_command_line);
  EXPECT_EQ(record->initrd->section, ".initrd");
  // One copy is both.
  EXPECT_EQ(std::distance(fs::directory_iterator(root_.path(kept_files_path)), {}), 1);

  // Another image there: seen, refused by the kernel, and the one before comes back out of the copy.
  testing::write_test_file(kernel_, nested("root=/dev/vda3\n", 6000));
  LoadVerification verification = verify_load(root_);
  EXPECT_EQ(verification.state, LoadVerification::State::stale);
  EXPECT_NE(verification_to_text(verification).find("linux.efi: its content is another one"),
            std::string::npos);
  refuses = true;
  EXPECT_THROW(arm(root_, prepare(), kexec), Error);
  EXPECT_EQ(loaded->sha256, first.plan.initrd->sha256);
  record = read_record(root_);
  EXPECT_EQ(record->command_line, first.plan.command_line.text);
  EXPECT_EQ(record->initrd->path, kernel_);
  EXPECT_TRUE(record->request->uki_initrd);
  // `reserve` judges by it, too.
  fs::create_directories(root_.path(kernel_).parent_path());
  fs::copy_file(kernel_, root_.path(kernel_));
  Machine machine = read_machine(root_);
  Recommendation recommendation = recommend(root_, machine, read_reservation(root_, machine), {});
  EXPECT_EQ(recommendation.initrd, recommendation.kernel);
  auto packed = std::find_if(recommendation.items.begin(), recommendation.items.end(),
                             [](const MemoryItem& item) { return item.name == "initrd_packed"; });
  ASSERT_NE(packed, recommendation.items.end());
  EXPECT_GT(packed->unpacking, 0u);
}

// Nothing can be written into any file here, be it in /tmp or elsewhere.
TEST_F(RequestTest, UnpackingMakesNoFile) {
  testing::write_test_file(kernel_, testing::gzip(nested()));
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  auto* handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit nothing{0, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &nothing), 0);
  std::optional<PreparedLoad> load;
  std::string problem;
  bool can_write = false;
  try {
    load = prepare();
    write_file_atomic(files_.path() / "probe", as_bytes("x"));
    can_write = true;
  } catch (const Error& e) {
    problem = e.message();
  }
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  ASSERT_TRUE(load) << problem;
  EXPECT_FALSE(can_write) << "the limit limits nothing, so this test says nothing";
  EXPECT_EQ(load->plan.unpacked_kernel, testing::FakeImage().bytes());
}

}  // namespace
}  // namespace kdk
