#include "loader/prove/virtual_machine.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "core/base/error.h"
#include "tests/unit/loader/plan_helpers.h"

namespace kdk {
namespace {

using testing::FakeMachine;

constexpr uint64_t mib1 = uint64_t{1} << 20;
constexpr uint64_t gib1 = uint64_t{1} << 30;

struct Made {
  Machine machine;
  LoadPlan plan;
  VirtualMachine vm;
};

Made make(const FakeMachine& fake, Acceleration acceleration = Acceleration::tcg) {
  testing::TempDir dir;
  fake.write(dir.path());
  Machine machine = read_machine(SysRoot(dir.path()));
  LoadInputs inputs;
  inputs.kernel = {"/boot/kernel", machine.architecture == &x86_64_architecture
                                       ? testing::FakeBzImage().bytes()
                                       : testing::FakeImage().bytes()};
  inputs.initrd = testing::small_initrd();
  LoadPlan plan = make_plan(machine, std::move(inputs));
  VirtualMachine vm = make_virtual_machine(machine, plan, acceleration);
  return {std::move(machine), std::move(plan), std::move(vm)};
}

// What every virtual machine must be.
void expect_sound(const Made& made) {
  const VirtualMachine& vm = made.vm;
  ASSERT_EQ(vm.crash_regions.size(), made.plan.crash_regions.size());
  uint64_t real = total_size(made.plan.crash_regions);
  EXPECT_EQ(total_size(vm.crash_regions), real);
  for (const Range& region : vm.crash_regions) EXPECT_FALSE(region.overlaps(vm.crashed));
  for (const CpuNote& note : vm.cpu_notes) EXPECT_TRUE(vm.crashed.contains(note.memory));
  EXPECT_TRUE(vm.crashed.contains(vm.vmcoreinfo_note));
  EXPECT_TRUE(vm.crashed.contains(vm.page_tables));
  EXPECT_EQ(vm.cpu_notes.size(), made.machine.cpu_notes.size());
  EXPECT_EQ(vm.memory % mib1, 0u);
}

TEST(VirtualMachine, KeepsARegionThatTheBoardCanHave) {
  Made made = make(FakeMachine());
  expect_sound(made);
  EXPECT_FALSE(made.vm.moved);
  EXPECT_EQ(made.vm.crash_regions, made.plan.crash_regions);
  EXPECT_GE(made.vm.memory + gib1, made.vm.crash_regions.back().end());
  EXPECT_EQ(made.vm.cpu, "cortex-a57");
  EXPECT_EQ(made.vm.cpus, 1u);
}

TEST(VirtualMachine, MovesRegionsThatItCannot) {
  FakeMachine fake;
  fake.iomem =
      "01000000-3fffffff : System RAM\n"
      "  02000000-05ffffff : Crash kernel\n"
      "8000000000-81ffffffff : System RAM\n"
      "  8100000000-810fffffff : Crash kernel\n";
  fake.cpus = {{0, 0x8000001000, true}};
  fake.vmcoreinfo_address = "8000002000 1000\n";
  fake.kcore = false;
  Made made = make(fake);
  expect_sound(made);
  EXPECT_TRUE(made.vm.moved);
  EXPECT_EQ(made.vm.crash_regions[0].size, 64 * mib1);
  EXPECT_LT(made.vm.crash_regions[0].end(), 4 * gib1);
  EXPECT_EQ(made.vm.crash_regions[1].size, 256 * mib1);
  EXPECT_GE(made.vm.crash_regions[1].start, 4 * gib1);  // on its side of 4 GiB
}

TEST(VirtualMachine, PutsX86AboveFourGibBehindTheHole) {
  FakeMachine fake = FakeMachine::x86_64();
  fake.iomem =
      "00100000-bfffffff : System RAM\n"
      "100000000-17fffffff : System RAM\n"
      "  160000000-16fffffff : Crash kernel\n";
  Made made = make(fake);
  expect_sound(made);
  EXPECT_FALSE(made.vm.moved);
  // 3 GiB below the hole; QEMU divides it so from 3.5 GiB on.
  EXPECT_GE(made.vm.memory, 4 * gib1);
  EXPECT_LE(made.vm.crash_regions.back().end(), made.vm.memory - 3 * gib1 + 4 * gib1);
  EXPECT_LT(made.vm.page_tables.end(), 4 * gib1);
}

TEST(VirtualMachine, KvmTakesTheHostsCpu) {
  EXPECT_EQ(make(FakeMachine(), Acceleration::kvm).vm.cpu, "host");
}

TEST(VirtualMachine, AskedForMoreThanItHas) {
  FakeMachine fake;
  fake.iomem = "8000000000-ffffffffff : System RAM\n  9000000000-a7ffffffff : Crash kernel\n";  // 96 GiB
  fake.cpus = {{0, 0x8000001000, true}};
  fake.vmcoreinfo_address = "8000002000 1000\n";
  fake.kcore = false;
  EXPECT_THROW(make(fake), Error);
}

// The plan for the virtual machine holds by the loader's own checks.
TEST(VirtualMachine, IsOneThatCanBePlannedFor) {
  for (bool x86 : {false, true}) {
    Made made = make(x86 ? FakeMachine::x86_64() : FakeMachine());
    Machine machine = describe(made.vm, x86 ? std::vector<uint8_t>() : testing::FakeTree::booted().bytes());
    LoadInputs inputs;
    inputs.kernel = {"/boot/kernel", x86 ? testing::FakeBzImage().bytes() : testing::FakeImage().bytes()};
    inputs.initrd = testing::small_initrd();
    inputs.seeds.kaslr.fill(1);
    inputs.seeds.rng.fill(2);
    inputs.call = LoadCall::kexec_load;
    LoadPlan plan = make_plan(machine, std::move(inputs));
    for (const Check& check : plan.checks)
      EXPECT_NE(check.status, Check::Status::failed) << check.name << ": " << check.detail;
    EXPECT_EQ(plan.crash_regions, made.plan.crash_regions);
  }
}

TEST(VirtualMachine, SaysWhatItChangesInTheCommandLine) {
  const Board& board = find_board(arm64_architecture);
  TestCommandLine line =
      make_test_command_line(board, "root=/dev/vda1 earlycon=pl011,0x1 acpi=force panic=10");
  EXPECT_EQ(line.text, "root=/dev/vda1 panic=10 earlycon ignore_loglevel console=ttyAMA0");
  ASSERT_EQ(line.changes.size(), 3u);
  EXPECT_NE(line.changes[0].find("earlycon=pl011,0x1 is left out"), std::string::npos);
}

TEST(VirtualMachine, CrashedMemoryIsNotes) {
  Made made = make(FakeMachine());
  std::vector<uint8_t> memory = make_crashed_memory(made.vm, std::string(10000, 'x'));
  EXPECT_EQ(memory.size(), made.vm.vmcoreinfo_note.end() - made.vm.crashed.start);
  uint64_t at = made.vm.vmcoreinfo_note.start - made.vm.crashed.start;
  EXPECT_EQ(load<ul32>(memory, at), 11u);  // "VMCOREINFO" and its NUL
  EXPECT_EQ(as_text(Bytes(memory).subspan(at + 12, 10)), "VMCOREINFO");
  EXPECT_LE(*load<ul32>(memory, at + 4) + 24, made.vm.vmcoreinfo_note.size);
  EXPECT_EQ(load<ul32>(memory, 8), 1u);  // NT_PRSTATUS
}

TEST(VirtualMachine, HasNothingOfTheHost) {
  std::vector<std::string> arguments = board_arguments(make(FakeMachine()).vm);
  auto has = [&](std::string_view word) { return std::ranges::find(arguments, word) != arguments.end(); };
  EXPECT_TRUE(has("-nodefaults"));
  EXPECT_TRUE(has("-no-user-config"));
  EXPECT_TRUE(has("-no-reboot"));
  for (std::string_view word : {"-drive", "-hda", "-netdev", "-virtfs", "-fsdev"}) EXPECT_FALSE(has(word));
}

}  // namespace
}  // namespace kdk
