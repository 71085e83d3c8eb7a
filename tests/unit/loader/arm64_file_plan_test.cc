// Plans for arm64 machines whose kernel has kexec_file_load: where the kernel will put things, what it would
// refuse, and which of the two calls is chosen.
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "loader/kexec/kexec.h"
#include "loader/plan/plan.h"
#include "tests/support/fake_machine.h"
#include "tests/unit/loader/plan_helpers.h"

namespace kdk {
namespace {

using testing::check_of;
using testing::expected;
using testing::FakeImage;
using testing::FakeMachine;

constexpr uint64_t mib = 1 << 20;

FakeMachine machine_with_file_load() {
  FakeMachine fake;
  fake.config = "CONFIG_KEXEC=y\nCONFIG_KEXEC_FILE=y\nCONFIG_KEXEC_SIG=y\n";
  return fake;
}

LoadInputs inputs_for(const FakeImage& kernel = {}) {
  LoadInputs inputs;
  inputs.kernel = {"/boot/Image", kernel.bytes()};
  inputs.initrd = testing::small_initrd();
  return inputs;
}

LoadPlan plan_for(const FakeMachine& fake, LoadInputs inputs = inputs_for()) {
  return testing::plan_of(fake, std::move(inputs));
}

TEST(Arm64FilePlan, HealthyMachine) {
  LoadPlan plan = plan_for(machine_with_file_load());
  for (const Check& check : plan.checks)
    EXPECT_EQ(check.status, Check::Status::ok) << check.name << ": " << check.detail;
  EXPECT_EQ(plan.call, LoadCall::kexec_file_load);
  EXPECT_EQ(load_flag_names(plan), std::vector<std::string>{"KEXEC_FILE_ON_CRASH"});
  EXPECT_TRUE(plan.segments.empty());
  EXPECT_TRUE(plan.unpacked_kernel.empty());
  EXPECT_FALSE(plan.entry);
  ASSERT_TRUE(plan.device_tree);
  EXPECT_FALSE(plan.device_tree->edits.empty());
}

// As an own 6.12 kernel with 4 KiB pages logged it in a guest with its crash region at 0x6ee00000
// (KEXEC_FILE_DEBUG): kernel at 0x6ee00000 memsz 0xa10000, elfcorehdr at 0x7edf0000 memsz 0x1000, initrd at
// 0x6f810000 memsz 0x25b000, dtb at 0x7ec00000.
TEST(Arm64FilePlan, PlacesLikeTheKernel) {
  FakeMachine fake = machine_with_file_load();
  fake.iomem.replace(fake.iomem.find("6ac00000-7abfffff"), 17, "6ee00000-7edfffff");
  FakeImage kernel;
  kernel.image_size = 0xa10000;
  LoadInputs inputs = inputs_for(kernel);
  inputs.initrd->bytes.resize(0x25a6ac);
  LoadPlan plan = plan_for(fake, std::move(inputs));
  EXPECT_EQ(expected(plan, "kernel"), (Range{0x6ee00000, 0xa10000}));
  EXPECT_EQ(expected(plan, "elfcorehdr"), (Range{0x7edf0000, 0x1000}));
  EXPECT_EQ(expected(plan, "initrd"), (Range{0x6f810000, 0x25b000}));
  EXPECT_EQ(expected(plan, "dtb").start, 0x7ec00000u);
  EXPECT_EQ(expected(plan, "control_pages"), (Range{0x6fa6b000, 0x2000}));
  for (size_t i = 1; i < plan.expected.size(); ++i)
    EXPECT_LE(plan.expected[i - 1].memory.end(), plan.expected[i].memory.start) << plan.expected[i].name;
}

// An image that starts behind its base, in a region that does not start at a multiple of 2 MiB.
TEST(Arm64FilePlan, UnevenRegion) {
  FakeMachine uneven = machine_with_file_load();
  uneven.iomem.replace(uneven.iomem.find("6ac00000"), 8, "6ac10000");
  uneven.crash_size.reset();
  FakeImage kernel;
  kernel.image_size = 0x9e0000;
  kernel.text_offset = 0x80000;
  LoadPlan plan = plan_for(uneven, inputs_for(kernel));
  EXPECT_EQ(expected(plan, "kernel"), (Range{testing::fake_crash_start + 2 * mib + 0x80000, 0x9e0000}));
  EXPECT_EQ(expected(plan, "control_pages").start, testing::fake_crash_start + 0x10000);
}

TEST(Arm64FilePlan, RegionsWithoutRoomNameWhatDoesNotFit) {
  auto error_with = [](std::string_view end) {
    FakeMachine fake = machine_with_file_load();
    fake.iomem.replace(fake.iomem.find("7abfffff"), 8, end);
    fake.crash_size.reset();
    FakeImage kernel;
    kernel.image_size = 16 * mib;
    LoadInputs inputs = inputs_for(kernel);
    inputs.initrd->bytes.resize(8 * mib);
    try {
      plan_for(fake, std::move(inputs));
    } catch (const Error& e) {
      EXPECT_NE(e.hint().find("crashkernel="), std::string::npos);
      return e.message();
    }
    return std::string("fits");
  };
  EXPECT_NE(error_with("6b7fffff").find("no room for the kernel"), std::string::npos);
  EXPECT_NE(error_with("6bbfffff").find("no room for the elfcorehdr"), std::string::npos);
  EXPECT_NE(error_with("6c3fffff").find("no room for the initrd"), std::string::npos);
  EXPECT_NE(error_with("6c40ffff").find("no room for the dtb"), std::string::npos);
  EXPECT_EQ(error_with("6c7fffff"), "fits");
}

TEST(Arm64FilePlan, PackedKernelsGoInUnpacked) {
  LoadInputs inputs = inputs_for();
  std::vector<uint8_t> plain = inputs.kernel.bytes;
  inputs.kernel.bytes = testing::gzip(plain);
  LoadPlan plan = plan_for(machine_with_file_load(), inputs);
  EXPECT_EQ(plan.unpacked_kernel, plain);
  EXPECT_EQ(plan.kernel.size, inputs.kernel.bytes.size());  // what is compared later is the file
  inputs.call = LoadCall::kexec_load;
  EXPECT_TRUE(plan_for(machine_with_file_load(), inputs).unpacked_kernel.empty());
}

TEST(Arm64FilePlan, AnInitramfsInsideTheKernelFileGoesInByItself) {
  LoadInputs inputs = inputs_for();
  const std::vector<uint8_t> initrd = inputs.initrd->bytes;
  inputs.initrd->section = ".initrd";
  LoadPlan plan = plan_for(machine_with_file_load(), inputs);
  EXPECT_EQ(plan.extracted_initrd, initrd);
  EXPECT_EQ(plan.initrd->name(), "/boot/initrd (section .initrd)");
  inputs.call = LoadCall::kexec_load;  // a segment, as any other
  plan = plan_for(machine_with_file_load(), inputs);
  EXPECT_TRUE(plan.extracted_initrd.empty());
  EXPECT_EQ(plan.find_segment("initrd")->data, initrd);
}

TEST(Arm64FilePlan, Signatures) {
  FakeMachine fake = machine_with_file_load();
  fake.lockdown = "none [integrity] confidentiality\n";
  LoadPlan plan = plan_for(fake);
  EXPECT_EQ(plan.call, LoadCall::kexec_file_load);
  EXPECT_EQ(check_of(plan, "permission").status, Check::Status::ok);
  EXPECT_EQ(check_of(plan, "signature").status, Check::Status::failed);
  *fake.config += "CONFIG_IMA_APPRAISE=y\n";
  EXPECT_EQ(check_of(plan_for(fake), "signature").status, Check::Status::warning);
  fake.lockdown.clear();
  *fake.config += "CONFIG_KEXEC_SIG_FORCE=y\n";
  plan = plan_for(fake);
  // Never got around with the other call.
  EXPECT_EQ(plan.call, LoadCall::kexec_file_load);
  EXPECT_EQ(check_of(plan, "signature").status, Check::Status::failed);
}

TEST(Arm64FilePlan, WhichCall) {
  auto call = [](const FakeMachine& fake, LoadInputs inputs) {
    return plan_for(fake, std::move(inputs)).call;
  };
  FakeMachine fake = machine_with_file_load();
  LoadInputs with_tree = inputs_for();
  with_tree.dtb = InputFile{"own.dtb", fake.tree->bytes()};
  EXPECT_EQ(call(fake, inputs_for()), LoadCall::kexec_file_load);
  EXPECT_EQ(call(fake, with_tree), LoadCall::kexec_load);
  LoadInputs asked = inputs_for();
  asked.call = LoadCall::kexec_load;
  EXPECT_EQ(call(fake, asked), LoadCall::kexec_load);
  fake.config = "CONFIG_KEXEC=y\n# CONFIG_KEXEC_FILE is not set\n";
  EXPECT_EQ(call(fake, inputs_for()), LoadCall::kexec_load);
  fake.config.reset();  // a recording that does not tell
  EXPECT_EQ(call(fake, inputs_for()), LoadCall::kexec_load);

  // Lockdown leaves only the call that takes no tree.
  fake = machine_with_file_load();
  fake.lockdown = "none [integrity] confidentiality\n";
  try {
    plan_for(fake, with_tree);
    ADD_FAILURE();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Errc::unsupported);
    EXPECT_NE(e.message().find("--dtb"), std::string::npos);
  }
}

}  // namespace
}  // namespace kdk
