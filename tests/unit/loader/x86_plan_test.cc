// Plans for recorded x86-64 machines: what kexec_file_load will be asked, where the kernel will put it, and
// each way it would refuse.
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "loader/kexec/kexec.h"
#include "loader/plan/plan.h"
#include "loader/state/status.h"
#include "tests/support/fake_machine.h"
#include "tests/unit/loader/plan_helpers.h"

namespace kdk {
namespace {

using testing::check_of;
using testing::expected;
using testing::FakeBzImage;
using testing::FakeMachine;

LoadInputs inputs_for(const FakeBzImage& kernel = {}) {
  LoadInputs inputs;
  inputs.kernel = {"/boot/vmlinuz", kernel.bytes()};
  inputs.initrd = testing::small_initrd();
  return inputs;
}

LoadPlan plan_for(const FakeMachine& fake, LoadInputs inputs = inputs_for()) {
  return testing::plan_of(fake, std::move(inputs));
}

void expect_only(const LoadPlan& plan, std::string_view name, Check::Status status, std::string_view part) {
  for (const Check& check : plan.checks) {
    EXPECT_EQ(check.status, check.name == name ? status : Check::Status::ok)
        << check.name << ": " << check.detail;
  }
  EXPECT_NE(check_of(plan, name).detail.find(part), std::string::npos) << check_of(plan, name).detail;
}

TEST(X86Plan, HealthyMachine) {
  LoadPlan plan = plan_for(FakeMachine::x86_64());
  for (const Check& check : plan.checks)
    EXPECT_EQ(check.status, Check::Status::ok) << check.name << ": " << check.detail;
  EXPECT_EQ(plan.architecture->name, "x86-64");
  EXPECT_EQ(plan.call, LoadCall::kexec_file_load);
  EXPECT_EQ(load_flag_names(plan), std::vector<std::string>{"KEXEC_FILE_ON_CRASH"});
  EXPECT_TRUE(plan.segments.empty());
  EXPECT_FALSE(plan.entry);
  EXPECT_FALSE(plan.device_tree);
  EXPECT_EQ(plan.image.release, "6.12.0-fake");
  EXPECT_EQ(
      plan.command_line.text,
      "root=/dev/vda1 ro console=ttyS0 reset_devices nr_cpus=1 irqpoll mce=off numa=off acpi_no_memhotplug "
      "panic=10 cma=0 hugetlb_cma=0");
  LoadInputs inputs = inputs_for();
  inputs.initrd.reset();
  EXPECT_EQ(load_flag_names(plan_for(FakeMachine::x86_64(), std::move(inputs))),
            (std::vector<std::string>{"KEXEC_FILE_ON_CRASH", "KEXEC_FILE_NO_INITRAMFS"}));
}

// As a Debian 6.12 kernel logged it in a guest with its crash region at 0x2b000000 (KEXEC_FILE_DEBUG):
// elfcorehdr at 0x2b000000, 0xe1000 bytes; kernel of 0x37dc000 bytes at 0x37800000; initrd at 0x37704000.
TEST(X86Plan, PlacesLikeTheKernel) {
  FakeMachine fake = FakeMachine::x86_64();
  fake.iomem.replace(fake.iomem.find("2f000000-3effffff"), 17, "2b000000-3affffff");
  FakeBzImage kernel;
  kernel.init_size = 0x37dc000;
  LoadInputs inputs = inputs_for(kernel);
  inputs.initrd->bytes = testing::fake_cpio({{"init", 0xfbe00}});
  inputs.initrd->bytes.resize(0xfbf64);
  LoadPlan plan = plan_for(fake, std::move(inputs));
  EXPECT_EQ(expected(plan, "elfcorehdr"), (Range{0x2b000000, 0xe1000}));
  EXPECT_EQ(expected(plan, "kernel"), (Range{0x37800000, 0x37dc000}));
  EXPECT_EQ(expected(plan, "initrd"), (Range{0x37704000, 0xfc000}));
  for (size_t i = 1; i < plan.expected.size(); ++i)
    EXPECT_LE(plan.expected[i - 1].memory.end(), plan.expected[i].memory.start) << plan.expected[i].name;
}

TEST(X86Plan, HeaderSizeWithoutTheKernelsWord) {
  FakeMachine fake = FakeMachine::x86_64();
  fake.elfcorehdr_size.reset();
  EXPECT_EQ(expected(plan_for(fake), "elfcorehdr").size, 0x1000u);
  for (unsigned cpu = 2; cpu < 200; ++cpu) fake.cpus.push_back({cpu, 0x30000000 + cpu * 0x1000});
  EXPECT_EQ(expected(plan_for(fake), "elfcorehdr").size, 0x3000u);  // 200 CPUs and 6 more of 56 bytes
}

TEST(X86Plan, RegionsWithoutRoomNameWhatDoesNotFit) {
  auto error_with = [](std::string_view end, uint64_t initrd_mib) {
    FakeMachine fake = FakeMachine::x86_64();
    fake.iomem.replace(fake.iomem.find("3effffff"), 8, end);
    fake.crash_size.reset();
    FakeBzImage kernel;
    kernel.init_size = 76 << 20;
    LoadInputs inputs = inputs_for(kernel);
    inputs.initrd->bytes.resize(initrd_mib << 20);
    try {
      plan_for(fake, std::move(inputs));
    } catch (const Error& e) {
      EXPECT_NE(e.hint().find("crashkernel="), std::string::npos);
      return e.message();
    }
    return std::string("fits");
  };
  EXPECT_NE(error_with("2f000fff", 1).find("no room for the elfcorehdr"), std::string::npos);
  EXPECT_NE(error_with("30ffffff", 1).find("no room for the kernel"), std::string::npos);
  EXPECT_NE(error_with("33ffffff", 4).find("no room for the initrd"), std::string::npos);
  EXPECT_EQ(error_with("34ffffff", 4), "fits");
}

TEST(X86Plan, CommandLineLeavesRoomForElfcorehdr) {
  LoadInputs inputs = inputs_for();
  // 2047 bytes, of which the NUL takes one and elfcorehdr= thirty.
  inputs.command_line.literal = std::string(2016 - 9, 'a') + " panic=10";
  inputs.command_line.add_defaults = false;
  LoadPlan plan = plan_for(FakeMachine::x86_64(), inputs);
  EXPECT_TRUE(plan.good());
  EXPECT_EQ(plan.command_line_limit.characters, 2016u);
  *inputs.command_line.literal += "0";
  expect_only(plan_for(FakeMachine::x86_64(), inputs), "command_line", Check::Status::failed, "elfcorehdr=");
  // A kernel that takes almost nothing must not wrap the limit.
  FakeBzImage tiny;
  tiny.command_line_size = 20;
  EXPECT_EQ(plan_for(FakeMachine::x86_64(), inputs_for(tiny)).command_line_limit.characters, 0u);
}

TEST(X86Plan, KernelsThatCannotBeACrashKernel) {
  FakeBzImage kernel;
  auto refuse = [&](std::string_view part) {
    expect_only(plan_for(FakeMachine::x86_64(), inputs_for(kernel)), "boot_protocol", Check::Status::failed,
                part);
    kernel = {};
  };
  kernel.xloadflags = 0x7e;
  refuse("32-bit");
  kernel.xloadflags = 0x7d;
  refuse("4 GiB");
  kernel.relocatable = 0;
  refuse("CONFIG_RELOCATABLE");

  FakeMachine five_level = FakeMachine::x86_64();
  five_level.vmcoreinfo.replace(five_level.vmcoreinfo.find("enabled)=0"), 10, "enabled)=1");
  EXPECT_TRUE(plan_for(five_level).good());
  kernel.xloadflags = 0x5f;
  EXPECT_TRUE(plan_for(FakeMachine::x86_64(), inputs_for(kernel)).good());
  expect_only(plan_for(five_level, inputs_for(kernel)), "boot_protocol", Check::Status::failed, "5-level");

  FakeMachine mixed_mode = FakeMachine::x86_64();
  mixed_mode.firmware_bits = "32\n";
  expect_only(plan_for(mixed_mode), "boot_protocol", Check::Status::failed, "32-bit");
}

TEST(X86Plan, Signatures) {
  FakeBzImage signed_kernel;
  signed_kernel.signature_size = 1472;
  auto status = [&](const FakeMachine& fake, bool is_signed) {
    LoadPlan plan = plan_for(fake, is_signed ? inputs_for(signed_kernel) : inputs_for());
    EXPECT_EQ(check_of(plan, "permission").status, Check::Status::ok);  // lockdown does not forbid this call
    return check_of(plan, "signature").status;
  };
  FakeMachine fake = FakeMachine::x86_64();
  EXPECT_EQ(status(fake, false), Check::Status::ok);
  fake.lockdown = "none [integrity] confidentiality\n";
  EXPECT_EQ(status(fake, false), Check::Status::warning);  // an IMA policy might accept it
  EXPECT_EQ(status(fake, true), Check::Status::warning);   // good or bad is the kernel's to say
  fake.secure_boot = true;
  EXPECT_EQ(status(fake, false), Check::Status::failed);
  EXPECT_EQ(status(fake, true), Check::Status::warning);
  fake.lockdown.clear();
  fake.secure_boot = false;
  EXPECT_EQ(status(fake, false), Check::Status::ok);
  *fake.config += "CONFIG_KEXEC_SIG_FORCE=y\n";
  EXPECT_EQ(status(fake, false), Check::Status::failed);
  fake.config = "CONFIG_KEXEC_FILE=y\n";
  fake.lockdown = "none [integrity] confidentiality\n";
  EXPECT_EQ(status(fake, false), Check::Status::ok);  // built without signature checks
  fake.lockdown.clear();
  fake.config.reset();
  LoadPlan unknown = plan_for(fake);
  EXPECT_NE(check_of(unknown, "signature").detail.find("not known"), std::string::npos);
}

TEST(X86Plan, KernelWithoutTheCall) {
  FakeMachine fake = FakeMachine::x86_64();
  fake.config = "CONFIG_KEXEC=y\n# CONFIG_KEXEC_FILE is not set\n";
  LoadInputs inputs = inputs_for();
  inputs.call = LoadCall::kexec_file_load;
  expect_only(plan_for(fake, std::move(inputs)), "permission", Check::Status::failed, "CONFIG_KEXEC_FILE");
}

TEST(X86Plan, HighRegion) {
  FakeMachine fake = FakeMachine::x86_64();
  fake.iomem =
      "00100000-bfffffff : System RAM\n"
      "  a0000000-afffffff : Crash kernel\n"
      "100000000-87fffffff : System RAM\n"
      "  840000000-84fffffff : Crash kernel\n";
  LoadPlan plan = plan_for(fake);
  EXPECT_TRUE(plan.good());
  EXPECT_EQ(check_of(plan, "low_memory").status, Check::Status::ok);
  for (const ExpectedSegment& segment : plan.expected)
    EXPECT_TRUE((Range{0x840000000, 0x10000000}).contains(segment.memory)) << segment.name;
  // Bounce buffers of 64 MiB, unless told not to.
  LoadInputs inputs = inputs_for();
  inputs.command_line.append = "swiotlb=noforce";
  EXPECT_EQ(plan.memory.kernel_own - plan_for(fake, inputs).memory.kernel_own, 64u << 20);

  fake.iomem.erase(fake.iomem.find("  a0000000"), std::string("  a0000000-afffffff : Crash kernel\n").size());
  expect_only(plan_for(fake), "low_memory", Check::Status::warning, "crashkernel=SIZE,low");
}

TEST(X86Plan, MoreThanHalfOfMemory) {
  FakeMachine fake = FakeMachine::x86_64();
  fake.iomem =
      "00100000-0fffffff : System RAM\n"
      "  04000000-0fffffff : Crash kernel\n";
  fake.crash_size.reset();
  LoadPlan plan = plan_for(fake);
  EXPECT_EQ(check_of(plan, "segments").status, Check::Status::failed);
  EXPECT_NE(check_of(plan, "segments").detail.find("more than half"), std::string::npos);
}

TEST(Architecture, ComesFromTheRecording) {
  FakeMachine fake = FakeMachine::x86_64();
  fake.architecture = "nonsense\n";  // kcore's word is better
  EXPECT_EQ(plan_for(fake).architecture->name, "x86-64");
  fake.kcore = false;
  EXPECT_THROW(plan_for(fake), Error);
  fake.architecture = "x86_64\n";
  EXPECT_TRUE(plan_for(fake).good());
  fake.architecture = "";
  EXPECT_THROW(plan_for(fake), Error);
  fake.architecture = "riscv64\n";
  try {
    plan_for(fake);
    ADD_FAILURE();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Errc::unsupported);
    EXPECT_NE(e.message().find("arm64, x86-64"), std::string::npos) << e.message();
  }
}

TEST(X86Status, FollowedHotplugIsNotStale) {
  testing::TempDir dir;
  SysRoot root(dir.path());
  FakeMachine fake = FakeMachine::x86_64();
  fake.crash_loaded = "1\n";
  fake.write(dir.path());
  PreparedLoad load;
  load.plan = make_plan(read_machine(root), inputs_for());
  LoadRecord record = make_record(root, load);
  auto state_after = [&](const FakeMachine& changed) {
    changed.write(dir.path());
    write_record(root, record);
    return read_status(root).state;
  };
  FakeMachine grown = fake;
  grown.cpus.push_back({2, 0x3f110000});
  grown.iomem += "100000000-13fffffff : System RAM\n";
  EXPECT_EQ(state_after(grown), LoadStatus::State::stale);
  grown.crash_hotplug = "0\n";  // loaded by another program, say, without the flag for it
  EXPECT_EQ(state_after(grown), LoadStatus::State::stale);
  EXPECT_EQ(read_status(root).follows_cpus, false);
  grown.crash_hotplug = "1\n";
  EXPECT_EQ(state_after(grown), LoadStatus::State::armed);
  EXPECT_EQ(read_status(root).record->call, LoadCall::kexec_file_load);
  EXPECT_EQ(read_status(root).record->architecture, "x86-64");
  // The region itself is never followed.
  grown.iomem.replace(grown.iomem.find("3effffff"), 8, "3dffffff");
  EXPECT_EQ(state_after(grown), LoadStatus::State::stale);
}

}  // namespace
}  // namespace kdk
