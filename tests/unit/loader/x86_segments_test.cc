// x86-64 by kexec_load: the segments we make, read back byte by byte, and how the call is chosen.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "core/base/error.h"
#include "loader/arch/x86_64_boot_params.h"
#include "loader/arch/x86_64_trampoline.h"
#include "loader/kexec/kexec.h"
#include "loader/plan/elf64.h"
#include "loader/plan/plan.h"
#include "tests/support/fake_machine.h"
#include "tests/unit/loader/plan_helpers.h"

namespace kdk {
namespace {

using testing::FakeBzImage;
using testing::FakeMachine;
using x86_64::E820Entry;
using Type = E820Entry::Type;

LoadInputs inputs_for(std::optional<LoadCall> call = LoadCall::kexec_load, const FakeBzImage& kernel = {}) {
  LoadInputs inputs;
  inputs.kernel = {"/boot/vmlinuz", kernel.bytes()};
  inputs.initrd = testing::small_initrd();
  inputs.call = call;
  return inputs;
}

LoadPlan plan_for(const FakeMachine& fake, LoadInputs inputs = inputs_for()) {
  return testing::plan_of(fake, std::move(inputs));
}

void expect_only_failure(const LoadPlan& plan, std::string_view name, std::string_view part) {
  bool seen = false;
  for (const Check& check : plan.checks) {
    EXPECT_EQ(check.status == Check::Status::failed, check.name == name)
        << check.name << ": " << check.detail;
    seen = seen || (check.name == name && check.detail.find(part) != std::string::npos);
  }
  EXPECT_TRUE(seen) << name << " does not say " << part;
}

const Segment& segment(const LoadPlan& plan, std::string_view name) {
  const Segment* found = plan.find_segment(name);
  if (found == nullptr) throw std::logic_error("no segment " + std::string(name));
  return *found;
}

std::vector<E820Entry> memory_map(const LoadPlan& plan) {
  return x86_64::read_e820(Bytes(segment(plan, "boot_params").data).first(4096));
}

TEST(X86Segments, HealthyMachine) {
  LoadInputs inputs = inputs_for();
  uint64_t initrd_size = inputs.initrd->bytes.size();
  std::vector<uint8_t> file = inputs.kernel.bytes;
  LoadPlan plan = plan_for(FakeMachine::x86_64(), std::move(inputs));
  for (const Check& check : plan.checks)
    EXPECT_EQ(check.status, Check::Status::ok) << check.name << ": " << check.detail;
  EXPECT_EQ(plan.call, LoadCall::kexec_load);
  EXPECT_EQ(load_flag_names(plan), (std::vector<std::string>{"KEXEC_ON_CRASH", "KEXEC_ARCH"}));

  const Segment& kernel = segment(plan, "kernel");
  EXPECT_EQ(kernel.memory, (Range{0x2f000000, 0x3000000}));
  EXPECT_TRUE(std::equal(kernel.data.begin(), kernel.data.end(), file.begin() + 4 * 512));
  EXPECT_EQ(kernel.data.size(), 0x20000u);

  const Segment& params = segment(plan, "boot_params");
  const Segment& initrd = segment(plan, "initrd");
  const Segment& core = segment(plan, "elfcorehdr");
  auto word = [&](uint64_t at) { return +*load<ul32>(params.data, at); };
  EXPECT_TRUE(std::equal(file.begin() + 0x230, file.begin() + 0x248, params.data.begin() + 0x230));
  EXPECT_EQ(params.data[0x210], 0xd0);
  EXPECT_EQ(word(0x218), initrd.memory.start);
  EXPECT_EQ(word(0x21c), initrd_size);
  EXPECT_EQ(word(0x228), params.memory.start + 4096);
  for (uint64_t high : {0xc0, 0xc4, 0xc8}) EXPECT_EQ(word(high), 0u);
  std::string line(params.data.begin() + 4096, params.data.end() - 1);
  EXPECT_EQ(line, fmt::format("elfcorehdr={:#x} {}", core.memory.start, plan.command_line.text));
  EXPECT_EQ(params.data.back(), 0);

  x86_64::TrampolineTargets targets = x86_64::read_trampoline(segment(plan, "trampoline").data);
  EXPECT_EQ(targets.boot_params, params.memory.start);
  EXPECT_EQ(targets.kernel_entry, kernel.memory.start + 0x200);
}

TEST(X86Segments, AHeaderThatTheKernelKeepsHasRoomForAllItMayWrite) {
  FakeMachine fake = FakeMachine::x86_64();
  LoadPlan plan = plan_for(fake);
  EXPECT_EQ(plan.header_upkeep, HeaderUpkeep::kernel);
  EXPECT_EQ(optional_flag_names(plan),
            (std::vector<std::string>{"KEXEC_CRASH_HOTPLUG_SUPPORT", "KEXEC_UPDATE_ELFCOREHDR"}));
  const Segment& kept = segment(plan, "elfcorehdr");
  // 917616 bytes of program headers behind the ELF header, in the kernel's units of 4096.
  EXPECT_EQ(kept.memory.size, 225u * 4096);
  EXPECT_LT(kept.data.size(), 4096u);
  for (const Segment& s : plan.segments) EXPECT_EQ(s.rewritten_by_kernel, s.name == "elfcorehdr") << s.name;
  // The kernel finds it by its first bytes (kernel/crash_core.c): no other segment may begin like that.
  for (const Segment& s : plan.segments)
    EXPECT_EQ(Bytes(s.data).first(4)[0] == 0x7f, s.name == "elfcorehdr") << s.name;
  // By files the kernel does it without being asked.
  EXPECT_EQ(optional_flag_names(plan_for(fake, inputs_for(LoadCall::kexec_file_load))),
            std::vector<std::string>{});

  fake.elfcorehdr_size.reset();
  plan = plan_for(fake);
  EXPECT_EQ(plan.header_upkeep, HeaderUpkeep::reload);
  EXPECT_EQ(optional_flag_names(plan), std::vector<std::string>{});
  EXPECT_EQ(segment(plan, "elfcorehdr").memory.size, 4096u);
  EXPECT_FALSE(segment(plan, "elfcorehdr").rewritten_by_kernel);

  fake.elfcorehdr_size = "3669961\n";  // a byte more than 65535 program headers
  EXPECT_THROW(plan_for(fake), Error);
}

TEST(X86Segments, MemoryMapIsTheCrashKernelsOwn) {
  FakeMachine fake = FakeMachine::x86_64();
  fake.iomem += "fe000000-fe0fffff : ACPI Tables\nfe100000-fe1fffff : ACPI Non-volatile Storage\n";
  LoadPlan plan = plan_for(fake);
  EXPECT_TRUE(plan.good());
  Range core = segment(plan, "elfcorehdr").memory;
  EXPECT_EQ(core.end(), 0x3f000000u);
  EXPECT_EQ(memory_map(plan), (std::vector<E820Entry>{{{0, 0x1000}, Type::reserved},
                                                      {{0x1000, 0x9ec00}, Type::ram},
                                                      {{0x2f000000, core.start - 0x2f000000}, Type::ram},
                                                      {{0xfe000000, 0x100000}, Type::acpi},
                                                      {{0xfe100000, 0x100000}, Type::nvs}}));
  // What the crash kernel uses below 1 MiB is not offered as memory of the crashed one.
  for (const Range& range : plan.dumped_ram) EXPECT_GE(range.start, 0x100000u);
}

TEST(X86Segments, LowAndHighRegion) {
  FakeMachine fake = FakeMachine::x86_64();
  fake.iomem =
      "00001000-0009fbff : System RAM\n"
      "00100000-bfffffff : System RAM\n"
      "  a0000000-afffffff : Crash kernel\n"
      "100000000-87fffffff : System RAM\n"
      "  840000000-84fffffff : Crash kernel\n";
  fake.crash_size.reset();
  LoadPlan plan = plan_for(fake);
  EXPECT_TRUE(plan.good());
  const Segment& params = segment(plan, "boot_params");
  for (const Segment& s : plan.segments)
    EXPECT_TRUE((Range{0x840000000, 0x10000000}).contains(s.memory)) << s.name;
  EXPECT_EQ(+*load<ul32>(params.data, 0xc0), 8u);  // upper halves: initrd, command line
  EXPECT_EQ(+*load<ul32>(params.data, 0xc8), 8u);
  Range core = segment(plan, "elfcorehdr").memory;
  EXPECT_EQ(memory_map(plan), (std::vector<E820Entry>{{{0x1000, 0x9ec00}, Type::ram},
                                                      {{0xa0000000, 0x10000000}, Type::ram},
                                                      {{0x840000000, core.start - 0x840000000}, Type::ram}}));
}

// One region on both sides of 4 GiB, several labels of RAM, CPUs with holes and more possible than present.
TEST(X86Segments, OddMachine) {
  FakeMachine fake = FakeMachine::x86_64();
  fake.iomem =
      "00100000-13fffffff : System RAM\n"
      "  f0000000-10fffffff : Crash kernel\n"
      "140000000-17fffffff : System RAM (kmem)\n"
      "180000000-1bfffffff : Persistent Memory\n";
  fake.crash_size.reset();
  fake.cpus = {{0, 0x3f010000}, {2, 0x3f090000}, {7, 0x3f110000}};
  LoadPlan plan = plan_for(fake);
  EXPECT_TRUE(plan.good());
  EXPECT_EQ(plan.dumped_ram, (std::vector<Range>{{0x100000, 0xeff00000}, {0x110000000, 0x70000000}}));
  EXPECT_EQ(plan.core_headers[2].cpu, 7u);
  auto header = load<elf64::Header>(segment(plan, "elfcorehdr").data, 0);
  EXPECT_EQ(+header->machine, 62);
  EXPECT_EQ(+header->phnum, 3 + 1 + 1 + 2);  // CPUs, VMCOREINFO, kernel image, RAM
}

TEST(X86Segments, WhatTheRunningKernelKnowsIsHandedOn) {
  FakeMachine fake = FakeMachine::x86_64();
  fake.boot_params.resize(4096);
  fake.boot_params[0x0f] = 0x23;                // screen_info.orig_video_isVGA
  fake.boot_params[0x211] = 0xff;               // its loader's flags are not
  store(fake.boot_params, 0x70, ul64(0x1234));  // EFI knows better
  fake.firmware_bits = "64\n";
  fake.efi_systab = "ACPI20=0x3fb7e014\nACPI=0x3fb7e000\nSMBIOS=0x3fb7c000\n";
  LoadPlan plan = plan_for(fake);
  EXPECT_TRUE(plan.good());
  const Segment& params = segment(plan, "boot_params");
  EXPECT_EQ(params.data[0x0f], 0x23);
  EXPECT_EQ(params.data[0x211], 1);
  EXPECT_EQ(+*load<ul64>(params.data, 0x70), 0x3fb7e014u);
  fake.efi_systab.clear();
  expect_only_failure(plan_for(fake), "acpi", "systab");
  fake.boot_params.pop_back();
  EXPECT_THROW(plan_for(fake), Error);
}

TEST(X86Segments, Refused) {
  FakeMachine fake = FakeMachine::x86_64();
  fake.vmcoreinfo += "NUMBER(sme_mask)=140737488355328\n";
  expect_only_failure(plan_for(fake), "memory_encryption", "sme_mask");
  FakeBzImage high;
  high.preferred_address = 0x30000000;
  expect_only_failure(plan_for(FakeMachine::x86_64(), inputs_for(LoadCall::kexec_load, high)),
                      "boot_protocol", "0x30000000");
  FakeMachine locked = FakeMachine::x86_64();
  locked.lockdown = "none [integrity] confidentiality\n";
  expect_only_failure(plan_for(locked), "permission", "lockdown");
  FakeMachine crowded = FakeMachine::x86_64();
  for (uint64_t i = 0; i < 130; ++i)
    crowded.iomem += fmt::format("{:x}-{:x} : Reserved\n", 0xf0000000 + i * 0x2000, 0xf0000fff + i * 0x2000);
  EXPECT_THROW(plan_for(crowded), Error);
  EXPECT_TRUE(plan_for(crowded, inputs_for(LoadCall::kexec_file_load)).good());
}

TEST(ChooseLoader, ByWhatTheMachineAllows) {
  FakeMachine fake = FakeMachine::x86_64();
  auto chosen = [&] { return plan_for(fake, inputs_for(std::nullopt)); };
  EXPECT_EQ(chosen().call, LoadCall::kexec_file_load);
  fake.lockdown = "none [integrity] confidentiality\n";
  EXPECT_EQ(chosen().call, LoadCall::kexec_file_load);
  EXPECT_NE(chosen().call_reason.find("integrity"), std::string::npos);
  fake.lockdown.clear();
  fake.config = "CONFIG_KEXEC=y\n# CONFIG_KEXEC_FILE is not set\n";
  EXPECT_EQ(chosen().call, LoadCall::kexec_load);
  EXPECT_TRUE(chosen().good());
  EXPECT_NE(chosen().call_reason.find("without kexec_file_load"), std::string::npos);
  // Lockdown and no newer call: nothing is left, and the plan says so.
  fake.lockdown = "none [integrity] confidentiality\n";
  expect_only_failure(chosen(), "permission", "lockdown");
  // Asked for is not argued with.
  fake = FakeMachine::x86_64();
  fake.config = "# CONFIG_KEXEC is not set\nCONFIG_KEXEC_FILE=y\n";
  expect_only_failure(plan_for(fake), "permission", "no kexec_load");
}

}  // namespace
}  // namespace kdk
