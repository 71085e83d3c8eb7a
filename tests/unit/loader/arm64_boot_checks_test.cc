// Crash kernels that would die before they can print a word: without memory, without devices, on a CPU that
// has not their pages. Each exactly when it would, by both system calls.
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "loader/plan/plan.h"
#include "tests/support/fake_machine.h"
#include "tests/unit/loader/plan_helpers.h"

namespace kdk {
namespace {

using Status = Check::Status;
using testing::check_of;
using testing::FakeImage;
using testing::FakeMachine;
using testing::FakeTree;

LoadInputs inputs_for(LoadCall call, const FakeImage& kernel = {}) {
  LoadInputs inputs;
  inputs.kernel = {"/boot/Image", kernel.bytes()};
  inputs.initrd = testing::small_initrd();
  inputs.seeds.kaslr.fill(1);
  inputs.seeds.rng.fill(2);
  inputs.call = call;
  return inputs;
}

FakeMachine machine_with(const FakeTree& tree) {
  FakeMachine fake;
  fake.config = "CONFIG_KEXEC=y\nCONFIG_KEXEC_FILE=y\n";
  fake.tree = tree;
  return fake;
}

// The check of this name, the same by both calls. The plan is bad only when it failed.
Check judge(std::string_view name, const FakeMachine& fake, const FakeImage& kernel = {},
            std::string_view append = "") {
  Check first;
  for (LoadCall call : {LoadCall::kexec_load, LoadCall::kexec_file_load}) {
    LoadInputs inputs = inputs_for(call, kernel);
    inputs.command_line.append = append;
    LoadPlan plan = testing::plan_of(fake, std::move(inputs));
    Check check = check_of(plan, name);
    EXPECT_EQ(plan.good(), check.status != Status::failed) << check.detail;
    if (call == LoadCall::kexec_load) first = check;
    EXPECT_EQ(check.status, first.status) << check.detail;
  }
  return first;
}

Check judge_memory(const FakeMachine& fake, const FakeImage& kernel = {}, std::string_view append = "") {
  return judge("device_tree_memory", fake, kernel, append);
}

void expect_failed(const Check& check, std::initializer_list<std::string_view> parts) {
  EXPECT_EQ(check.status, Status::failed);
  for (std::string_view part : parts)
    EXPECT_NE(check.detail.find(part), std::string::npos) << part << ": " << check.detail;
}

TEST(TreeMemoryCheck, HealthyTrees) {
  Check nodes = judge_memory(machine_with(FakeTree::booted()));
  EXPECT_EQ(nodes.status, Status::ok);
  EXPECT_EQ(nodes.detail, "memory nodes: 0x40000000-0x7fffffff");
  Check acpi = judge_memory(machine_with(FakeTree::efi_stub()));
  EXPECT_EQ(acpi.status, Status::ok);
  EXPECT_NE(acpi.detail.find("0x7bf1e9c0"), std::string::npos) << acpi.detail;
  EXPECT_NE(acpi.detail.find("ACPI"), std::string::npos) << acpi.detail;
}

TEST(TreeMemoryCheck, NoMemoryNode) {
  FakeTree tree;
  tree.memory.emplace();
  expect_failed(judge_memory(machine_with(tree)),
                {"no memory node", "no linux,uefi-system-table", "by --dtb"});
  tree = FakeTree();
  tree.memory_status = "disabled";
  expect_failed(judge_memory(machine_with(tree)), {"no memory node"});
}

TEST(TreeMemoryCheck, NodesThatDoNotHoldTheCrashRegion) {
  FakeTree tree;
  tree.memory = {{0x40000000, 0x30000000}};  // the region is from 0x6ac00000 to 0x7abfffff
  expect_failed(judge_memory(machine_with(tree)), {"0x40000000-0x6fffffff", "0x6ac00000-0x7abfffff"});
  tree.memory = {{0x40000000, 0x30000000}, {0x70000000, 0xac00000}};
  EXPECT_EQ(judge_memory(machine_with(tree)).status, Status::ok);
}

// The kernel adds all but the first of linux,usable-memory-range without a look at the nodes.
TEST(TreeMemoryCheck, TheLowRegionNeedsNoNode) {
  FakeTree tree;
  tree.memory = {{0x60000000, 0x20000000}};
  FakeMachine fake = machine_with(tree);
  fake.iomem.insert(fake.iomem.find("  6ac00000"), "  50000000-53ffffff : Crash kernel\n");
  EXPECT_EQ(judge_memory(fake).status, Status::ok);
}

TEST(TreeMemoryCheck, PropertiesOfUefiAreWantedWhole) {
  for (std::string_view name : uefi_properties) {
    FakeTree tree = FakeTree::efi_stub();
    tree.chosen_properties.erase(std::string(name));
    expect_failed(judge_memory(machine_with(tree)), {name, "no memory node"});
    // With memory nodes the kernel says "UEFI not found" and goes on with them.
    tree.memory.reset();
    tree.devices = true;
    EXPECT_EQ(judge_memory(machine_with(tree)).status, Status::ok) << name;
  }
}

// linux,uefi-secure-boot is known to Debian's kernels alone: what counts is what the crash kernel asks for.
TEST(TreeMemoryCheck, EachKernelAsksForItsOwn) {
  FakeTree tree = FakeTree::efi_stub();
  tree.chosen_properties.erase("linux,uefi-secure-boot");
  FakeImage upstream;
  upstream.names = upstream.names.substr(0, upstream.names.find(" linux,uefi-secure-boot"));
  EXPECT_EQ(judge_memory(machine_with(tree), upstream).status, Status::ok);
  FakeImage without_efi;
  without_efi.names = "";
  expect_failed(judge_memory(machine_with(FakeTree::efi_stub()), without_efi), {"CONFIG_EFI"});
}

TEST(TreeMemoryCheck, UefiMapsThatCannotBe) {
  auto with = [](const char* name, std::vector<uint8_t> value) {
    FakeTree tree = FakeTree::efi_stub();
    tree.chosen_properties[name] = std::move(value);
    return judge_memory(machine_with(tree));
  };
  expect_failed(with("linux,uefi-mmap-size", {0, 0, 0, 0}), {"0 bytes"});
  expect_failed(with("linux,uefi-mmap-desc-size", {0, 0, 0, 0}), {"descriptors of 0"});
  expect_failed(with("linux,uefi-mmap-desc-size", {0, 0, 0, 0x31}), {"descriptors of 49"});
  expect_failed(with("linux,uefi-mmap-start", std::vector<uint8_t>(8, 0xff)), {"booted with"});
  expect_failed(with("linux,uefi-mmap-start", {0x70, 0, 0, 0}), {"0x70000000-", "crash region"});
}

TEST(TreeMemoryCheck, AcpiOptions) {
  FakeMachine stub = machine_with(FakeTree::efi_stub());
  FakeMachine whole = machine_with(FakeTree::booted());
  for (const char* harmless : {"", "acpi=on", "acpi=force", "noefi"})
    EXPECT_EQ(judge_memory(stub, {}, harmless).status, Status::ok) << harmless;
  expect_failed(judge_memory(stub, {}, "acpi=off"), {"acpi=off", "interrupt controller"});
  expect_failed(judge_memory(stub, {}, "acpi=off acpi=on"), {"acpi=off"});  // every one counts
  for (const char* harmless : {"acpi=off", "acpi=on", "noefi", "acpi=off acpi=force"})
    EXPECT_EQ(judge_memory(whole, {}, harmless).status, Status::ok) << harmless;
  expect_failed(judge_memory(whole, {}, "acpi=force"), {"acpi=force", "no ACPI tables"});
  // A tree with devices and the UEFI map: both ways are open.
  FakeTree both = FakeTree::efi_stub();
  both.devices = true;
  for (const char* harmless : {"acpi=off", "acpi=on", "acpi=force"})
    EXPECT_EQ(judge_memory(machine_with(both), {}, harmless).status, Status::ok) << harmless;
}

class GivenTree : public ::testing::Test {
 protected:
  static Check judge(const FakeTree& own, const FakeTree& given) {
    LoadInputs inputs = inputs_for(LoadCall::kexec_load);
    inputs.dtb = InputFile{"/boot/my.dtb", given.bytes()};
    LoadPlan plan = testing::plan_of(machine_with(own), std::move(inputs));
    Check check = check_of(plan, "device_tree_memory");
    EXPECT_EQ(plan.good(), check.status != Status::failed) << check.detail;
    return check;
  }
};

TEST_F(GivenTree, MustHaveMemory) {
  FakeTree empty;
  empty.memory.emplace();
  expect_failed(judge(FakeTree::booted(), empty), {"no memory node", "leave it out"});
  expect_failed(judge(FakeTree::efi_stub(), empty), {"no memory node", "leave it out"});
  EXPECT_EQ(judge(FakeTree::efi_stub(), FakeTree()).status, Status::ok);  // boots by this tree alone
}

TEST_F(GivenTree, UefiOfAnotherBoot) {
  FakeTree old = FakeTree::efi_stub();
  EXPECT_EQ(judge(FakeTree::efi_stub(), old).status, Status::ok);
  old.chosen_properties["linux,uefi-mmap-start"] = {0x41, 0, 0, 0};
  expect_failed(judge(FakeTree::efi_stub(), old), {"not those of this boot"});
  expect_failed(judge(FakeTree(), FakeTree::efi_stub()), {"not those of this boot"});
}

TEST_F(GivenTree, MakesUpForAMissingOne) {
  FakeMachine fake;
  fake.tree.reset();
  LoadInputs inputs = inputs_for(LoadCall::kexec_load);
  inputs.dtb = InputFile{"/boot/my.dtb", FakeTree().bytes()};
  EXPECT_TRUE(testing::plan_of(fake, std::move(inputs)).good());
}

Check judge_pages(uint64_t flags, std::optional<uint64_t> midr) {
  FakeMachine fake = machine_with(FakeTree::booted());
  fake.midr = midr;
  FakeImage kernel;
  kernel.flags = flags;
  return judge("page_size", fake, kernel);
}

TEST(PageSizeCheck, CoresThatAreKnownNotToHaveThem) {
  constexpr uint64_t pages_4k = 0xa, pages_16k = 0xc, pages_64k = 0xe, unspecified = 0x8;
  constexpr uint64_t cortex_a57 = 0x411fd070, cortex_a72 = 0x410fd083, cortex_a53 = 0x410fd034;
  constexpr uint64_t neoverse_n1 = 0x413fd0c1;
  EXPECT_EQ(judge_pages(pages_4k, cortex_a57).status, Status::ok);
  EXPECT_EQ(judge_pages(unspecified, cortex_a57).status, Status::ok);
  expect_failed(judge_pages(pages_16k, cortex_a57), {"16 KiB", "CPU 0 (Cortex-A57)"});
  expect_failed(judge_pages(pages_16k, cortex_a72), {"Cortex-A72"});
  expect_failed(judge_pages(pages_16k, cortex_a53), {"Cortex-A53"});
  for (std::optional<uint64_t> other : {std::optional<uint64_t>(), std::optional<uint64_t>(neoverse_n1)}) {
    Check check = judge_pages(pages_16k, other);
    EXPECT_EQ(check.status, Status::warning);
    EXPECT_NE(check.detail.find("16 KiB"), std::string::npos) << check.detail;
  }
  EXPECT_EQ(judge_pages(pages_64k, cortex_a57).status, Status::warning);
}

}  // namespace
}  // namespace kdk
