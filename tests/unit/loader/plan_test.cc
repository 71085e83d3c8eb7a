// Whole plans for recorded machines: the healthy one, and one for each way a machine or an input can be bad.
#include "loader/plan/plan.h"

#include <gtest/gtest.h>

#include "core/base/error.h"
#include "loader/plan/elf64.h"
#include "tests/support/fake_link.h"
#include "tests/support/fake_machine.h"
#include "tests/unit/loader/plan_helpers.h"

namespace kdk {
namespace {

using testing::check_of;
using testing::FakeImage;
using testing::FakeMachine;

LoadInputs default_inputs() {
  LoadInputs inputs;
  inputs.kernel = {"/boot/vmlinuz", FakeImage().bytes()};
  inputs.initrd = testing::small_initrd();
  inputs.seeds.kaslr.fill(1);
  inputs.seeds.rng.fill(2);
  return inputs;
}

LoadPlan plan_for(const FakeMachine& fake, LoadInputs inputs = default_inputs()) {
  return testing::plan_of(fake, std::move(inputs));
}

Error error_for(const FakeMachine& fake, LoadInputs inputs = default_inputs()) {
  try {
    plan_for(fake, std::move(inputs));
  } catch (const Error& e) {
    return e;
  }
  ADD_FAILURE() << "no error";
  return Error(Errc::fault, "");
}

// Expects exactly this check to have failed.
void expect_failed(const LoadPlan& plan, std::string_view name, std::string_view part) {
  EXPECT_FALSE(plan.good());
  for (const Check& check : plan.checks) {
    EXPECT_EQ(check.status == Check::Status::failed, check.name == name)
        << check.name << ": " << check.detail;
  }
  EXPECT_NE(check_of(plan, name).detail.find(part), std::string::npos) << check_of(plan, name).detail;
}

std::vector<elf64::ProgramHeader> program_headers(const LoadPlan& plan) {
  Cursor cursor(plan.find_segment("elfcorehdr")->data, "elfcorehdr");
  auto header = cursor.read<elf64::Header>();
  EXPECT_EQ(header.type, 4);
  EXPECT_EQ(header.machine, 183);
  EXPECT_EQ(header.phoff, 64u);
  EXPECT_EQ(header.phentsize, 56);
  std::vector<elf64::ProgramHeader> rows;
  for (unsigned i = 0; i < header.phnum; ++i) rows.push_back(cursor.read<elf64::ProgramHeader>());
  EXPECT_TRUE(cursor.at_end());
  return rows;
}

TEST(Plan, HealthyMachine) {
  LoadPlan plan = plan_for(FakeMachine());
  for (const Check& check : plan.checks)
    EXPECT_EQ(check.status, Check::Status::ok) << check.name << ": " << check.detail;
  EXPECT_EQ(plan.checks.size(), 13u);
  ASSERT_EQ(plan.segments.size(), 6u);
  EXPECT_EQ(plan.find_segment("kernel")->memory, (Range{0x6ac00000, 0x200000}));
  EXPECT_EQ(plan.find_segment("initrd")->memory.start, 0x6ae00000u);
  EXPECT_EQ(plan.find_segment("dtb")->memory.start % (2 << 20), 0u);
  EXPECT_EQ(plan.entry, plan.find_segment("purgatory")->memory.start);
  EXPECT_EQ(plan.command_line.text,
            "root=/dev/vda1 ro console=ttyAMA0 reset_devices nr_cpus=1 panic=10 cma=0 hugetlb_cma=0 "
            "acpi_no_memhotplug");
}

TEST(Plan, ProgramHeadersOfTheHealthyMachine) {
  std::vector<elf64::ProgramHeader> rows = program_headers(plan_for(FakeMachine()));
  ASSERT_EQ(rows.size(), 6u);
  struct Expected {
    uint32_t type;
    uint64_t paddr, size, vaddr;
  };
  const std::vector<Expected> expected = {
      {4, 0x7fdbec00, 424, 0},
      {4, 0x7fde0c00, 424, 0},
      {4, 0x4304a000, 0x1024, 0},
      {1, 0x40200000, 0x2240000, 0xffffd77602a00000},
      {1, 0x40000000, 0x2ac00000, 0xffff0b1040000000},
      {1, 0x7ac00000, 0x5400000, 0xffff0b107ac00000},
  };
  for (size_t i = 0; i < rows.size(); ++i) {
    EXPECT_EQ(rows[i].type, expected[i].type) << i;
    EXPECT_EQ(rows[i].paddr, expected[i].paddr) << i;
    EXPECT_EQ(rows[i].offset, expected[i].paddr) << i;
    EXPECT_EQ(rows[i].memsz, expected[i].size) << i;
    EXPECT_EQ(rows[i].filesz, expected[i].size) << i;
    EXPECT_EQ(rows[i].vaddr, expected[i].vaddr) << i;
  }
}

// The defect of other loaders on kernels without KALLSYMS_ALL: a missing symbol became address 0 and a header
// that crashes the crash kernel. Without any source of addresses the headers must still cover all RAM, and
// nothing else.
TEST(Plan, NoAddressesAtAllStillGivesAGoodHeader) {
  FakeMachine fake;
  fake.kcore = false;
  fake.kallsyms = "";
  LoadPlan plan = plan_for(fake);
  EXPECT_TRUE(plan.good());
  EXPECT_EQ(check_of(plan, "kernel_addresses").status, Check::Status::warning);
  std::vector<elf64::ProgramHeader> rows = program_headers(plan);
  ASSERT_EQ(rows.size(), 5u);
  EXPECT_EQ(rows[3].paddr, 0x40000000u);
  EXPECT_EQ(rows[3].vaddr, 0u);
}

TEST(Plan, ImageOutsideRamIsNeverLoaded) {
  FakeMachine fake;
  // A consistent lie: everything says the image is where no RAM is.
  fake.kcore_segments[0] = {0x10000000 + testing::fake_image_voffset, 0x10000000, testing::fake_image_size};
  fake.kallsyms = "";
  fake.vmcoreinfo = "NUMBER(VA_BITS)=52\n";
  expect_failed(plan_for(fake), "program_headers", "is not System RAM");
}

TEST(Plan, CpuNumbersWithHoles) {
  FakeMachine fake;
  fake.cpus = {{0, 0x7fdb0000}, {2, 0x7fdc0000}, {17, 0x7fdd0000, false}};
  LoadPlan plan = plan_for(fake);
  EXPECT_TRUE(plan.good());
  std::vector<elf64::ProgramHeader> rows = program_headers(plan);
  EXPECT_EQ(rows[2].paddr, 0x7fdd0000u);
  EXPECT_EQ(rows[2].memsz, 1024u);  // crash_notes_size did not exist
  EXPECT_EQ(plan.core_headers[2].cpu, 17u);
}

TEST(Plan, HostileCpuNotes) {
  FakeMachine fake;
  fake.cpus[1].notes = 0x10;  // no RAM there
  expect_failed(plan_for(fake), "program_headers", "program header 1 (cpu_note)");
  fake.cpus[1].notes = testing::fake_crash_start + 0x1000;
  expect_failed(plan_for(fake), "program_headers", "overlaps the crash region");
  fake.cpus[1].notes = ~uint64_t{0} - 10;
  EXPECT_EQ(error_for(fake).code(), Errc::format);
  fake.cpus.clear();
  EXPECT_EQ(error_for(fake).code(), Errc::missing);
}

TEST(Plan, LowAndHighRegion) {
  FakeMachine fake;
  fake.iomem =
      "40000000-bfffffff : System RAM\n"
      "  40210000-4167ffff : Kernel code\n"
      "  41c90000-4243ffff : Kernel data\n"
      "  b8000000-bfffffff : Crash kernel\n"
      "800000000-87fffffff : System RAM\n"
      "  840000000-85fffffff : Crash kernel\n";
  fake.kcore_segments[2] = {0x40000000 + testing::fake_linear_offset, 0x40000000, 0x80000000};
  fake.kcore_segments.push_back({0x800000000 + testing::fake_linear_offset, 0x800000000, 0x80000000});
  fake.crash_size = "536870912";
  LoadPlan plan = plan_for(fake);
  EXPECT_TRUE(plan.good());
  EXPECT_EQ(plan.main_region().start, 0x840000000u);
  for (const Segment& segment : plan.segments)
    EXPECT_TRUE(plan.main_region().contains(segment.memory)) << segment.name;
  ChosenNode chosen = read_chosen(plan.find_segment("dtb")->data);
  EXPECT_EQ(chosen.usable_memory, (std::vector<Range>{{0x840000000, 0x20000000}, {0xb8000000, 0x8000000}}));
  std::vector<elf64::ProgramHeader> rows = program_headers(plan);
  ASSERT_EQ(rows.size(),
            7u);  // 2 CPUs, VMCOREINFO, image, RAM below the low region, below and above the high one
  EXPECT_EQ(rows[4].memsz, 0x78000000u);
  EXPECT_EQ(rows[5].paddr, 0x800000000u);
  EXPECT_EQ(rows[6].paddr, 0x860000000u);
}

TEST(Plan, NoCrashRegionSaysHowToReserve) {
  FakeMachine fake;
  fake.iomem.erase(fake.iomem.find("  6ac00000"), std::string("  6ac00000-7abfffff : Crash kernel\n").size());
  Error error = error_for(fake);
  EXPECT_EQ(error.code(), Errc::missing);
  EXPECT_NE(error.hint().find("crashkernel="), std::string::npos);
}

TEST(Plan, RegionThatDisagreesWithTheKernel) {
  FakeMachine fake;
  fake.crash_size = "134217728";
  expect_failed(plan_for(fake), "crash_region", "kexec_crash_size");
  fake = FakeMachine();
  fake.iomem.replace(fake.iomem.find("  6ac00000-7abfffff"), 19, "90000000-9fffffff");
  fake.tree->memory = {{0x40000000, 0x80000000}};
  expect_failed(plan_for(fake), "crash_region", "not inside System RAM");
}

TEST(Plan, TinyRegions) {
  for (const char* end : {"6ac0ffff", "6aefffff", "6b0fffff"}) {
    FakeMachine fake;
    fake.iomem.replace(fake.iomem.find("7abfffff"), 8, end);
    fake.crash_size.reset();
    Error error = error_for(fake);
    EXPECT_EQ(error.code(), Errc::unsupported) << end;
    EXPECT_NE(error.message().find("has no room"), std::string::npos);
    EXPECT_NE(error.hint().find("crashkernel="), std::string::npos);
  }
}

// VMCOREINFO is a page: 64 KiB and its note header on kernels with 64 KiB pages.
TEST(Plan, VmcoreinfoOfALargePageIsTaken) {
  FakeMachine fake;
  fake.vmcoreinfo_address = "0x000000004304a000 10024\n";
  LoadPlan plan = plan_for(fake);
  EXPECT_TRUE(plan.good());
  fake.vmcoreinfo_address = "0x000000004304a000 20024\n";
  expect_failed(plan_for(fake), "program_headers", "not plausible");
}

TEST(Plan, MoreThanHalfOfMemoryIsRefusedBeforeTheKernelDoes) {
  FakeMachine fake;
  fake.iomem =
      "40000000-4fffffff : System RAM\n"
      "  40210000-4167ffff : Kernel code\n"
      "  41c90000-4243ffff : Kernel data\n"
      "  44000000-4fffffff : Crash kernel\n";
  fake.kcore_segments[2].size = 0x10000000;
  fake.cpus = {{0, 0x43000000}};
  fake.vmcoreinfo_address = "0x43010000 1024";
  fake.crash_size.reset();
  LoadInputs inputs = default_inputs();
  FakeImage image;
  image.image_size = 40 << 20;
  inputs.kernel.bytes = image.bytes();
  expect_failed(plan_for(fake, std::move(inputs)), "segments", "more than half");
}

TEST(Plan, InitramfsThatWillNotFitUnpacked) {
  LoadInputs inputs = default_inputs();
  inputs.initrd->bytes = testing::zstd(testing::fake_cpio({{"init", 1000}, {"big", 150 << 20}}));
  LoadPlan plan = plan_for(FakeMachine(), inputs);
  // root= makes the root file system a ramfs, which may take more than half.
  EXPECT_FALSE(plan.memory.limited_by_tmpfs);
  EXPECT_TRUE(plan.good());
  FakeMachine without_root;
  without_root.command_line = "console=ttyAMA0";
  plan = plan_for(without_root, inputs);
  EXPECT_TRUE(plan.memory.limited_by_tmpfs);
  expect_failed(plan, "initrd_unpacks", "Initramfs unpacking failed");
}

TEST(Plan, DamagedOrUselessInitramfs) {
  LoadInputs inputs = default_inputs();
  inputs.initrd->bytes.resize(inputs.initrd->bytes.size() / 2);
  expect_failed(plan_for(FakeMachine(), inputs), "initrd_unpacks", "cut off");
  inputs.initrd->bytes =
      testing::fake_cpio_with_links({{"usr", 0, 0040755}, {"usr/init", 100}}, {{"bin", "usr"}, {"x", "x"}});
  expect_failed(plan_for(FakeMachine(), inputs), "initrd_unpacks", "rdinit=");
  inputs.command_line.append = "rdinit=/bin/init";
  EXPECT_TRUE(plan_for(FakeMachine(), inputs).good());
  inputs.command_line.append = "rdinit=/x/init";
  expect_failed(plan_for(FakeMachine(), inputs), "initrd_unpacks", "too many symbolic links, the last is /x");
  inputs.initrd.reset();
  LoadPlan none = plan_for(FakeMachine(), inputs);
  EXPECT_EQ(check_of(none, "initrd_unpacks").status, Check::Status::warning);
  EXPECT_EQ(none.segments.size(), 5u);
}

TEST(Plan, CommandLineLimits) {
  LoadInputs inputs = default_inputs();
  inputs.command_line.literal = std::string(2047 - 9, 'a') + " panic=10";
  inputs.command_line.add_defaults = false;
  EXPECT_TRUE(plan_for(FakeMachine(), inputs).good());
  *inputs.command_line.literal += "0";
  expect_failed(plan_for(FakeMachine(), inputs), "command_line", "2048 characters");
  inputs.command_line.literal = "panic=10 a=\"b";
  expect_failed(plan_for(FakeMachine(), inputs), "command_line", "quote");
  inputs.command_line.literal = "console=ttyAMA0";
  EXPECT_EQ(check_of(plan_for(FakeMachine(), inputs), "command_line").status, Check::Status::warning);
}

TEST(Plan, LockdownAndDisabledLoading) {
  FakeMachine fake;
  fake.lockdown = "none [integrity] confidentiality\n";
  expect_failed(plan_for(fake), "permission", "Secure Boot");
  fake.lockdown = "[none] integrity confidentiality\n";
  EXPECT_TRUE(plan_for(fake).good());
  fake.load_disabled = "1\n";
  expect_failed(plan_for(fake), "permission", "kexec_load_disabled");
  fake.load_disabled = "0\n";
  fake.load_limit = "0\n";
  expect_failed(plan_for(fake), "permission", "kexec_load_limit_panic");
}

TEST(Plan, KernelsOfOtherPageSizes) {
  FakeMachine fake;
  fake.vmcoreinfo.replace(fake.vmcoreinfo.find("PAGESIZE=4096"), 13, "PAGESIZE=65536");
  FakeImage image;
  image.flags = 0xc;  // a 16 KiB kernel crash-boots on a 64 KiB machine
  LoadInputs inputs = default_inputs();
  inputs.kernel.bytes = image.bytes();
  LoadPlan plan = plan_for(fake, inputs);
  EXPECT_TRUE(plan.good());
  EXPECT_EQ(plan.image.page_size, 16384u);
  for (const Segment& segment : plan.segments) EXPECT_EQ(segment.memory.start % 65536, 0u) << segment.name;

  image.text_offset = 0x1000;  // page-aligned only for the crash kernel, not for the running one
  inputs.kernel.bytes = image.bytes();
  expect_failed(plan_for(fake, inputs), "segments", "not aligned");
}

// Less than what /proc/iomem leaves: the kernel itself, its struct pages and more are set aside.
TEST(Plan, HalfOfMemoryIsThatOfTheKernelsOwnCount) {
  FakeMachine fake;
  LoadInputs inputs = default_inputs();
  inputs.initrd->bytes.resize(20 << 20);  // zeros behind the archive
  EXPECT_TRUE(plan_for(fake, inputs).good());
  fake.meminfo = "MemTotal:          42000 kB\nMemFree:           40000 kB\n";
  LoadPlan plan = plan_for(fake, inputs);
  expect_failed(plan, "segments", "41.0 MiB");
  for (const char* bad : {"MemTotal:  x kB\n", "MemTotal:  99999999999999999999 kB\n", "MemTotal:   kB\n"}) {
    fake.meminfo = bad;
    EXPECT_EQ(error_for(fake).code(), Errc::format) << bad;
  }
  fake.meminfo = "Mem: something else\n";
  EXPECT_TRUE(plan_for(fake, inputs).good());
}

TEST(Plan, HostileListsOfCpus) {
  FakeMachine fake;
  for (const char* bad : {"x", "0-", "3-1", "0-99999999999", "0,,1"}) {
    fake.possible_cpus = bad;
    EXPECT_EQ(error_for(fake).code(), Errc::format) << bad;
  }
}

TEST(Plan, AnotherDeviceTree) {
  LoadInputs inputs = default_inputs();
  testing::FakeTree tree = testing::FakeTree::booted();
  tree.chosen_properties["user,mark"] = {1};
  inputs.dtb = InputFile{"/boot/my.dtb", tree.bytes()};
  LoadPlan plan = plan_for(FakeMachine(), inputs);
  EXPECT_TRUE(plan.good());
  EXPECT_EQ(plan.device_tree->source, "/boot/my.dtb");
  inputs.dtb->bytes.resize(100);
  EXPECT_NE(error_for(FakeMachine(), inputs).message().find("/boot/my.dtb"), std::string::npos);
}

TEST(Plan, MachinesThatCannotBePlannedFor) {
  FakeMachine fake;
  fake.kcore_machine = 243;
  EXPECT_EQ(error_for(fake).code(), Errc::unsupported);
  fake = FakeMachine();
  fake.vmcoreinfo_address.reset();
  EXPECT_EQ(error_for(fake).code(), Errc::missing);
  for (const char* bad : {"", "4304a000", "zzz 1024", "0x4304a000 0", "0xffffffffffffffff 1024"}) {
    fake.vmcoreinfo_address = bad;
    EXPECT_EQ(error_for(fake).code(), Errc::format) << bad;
  }
  fake = FakeMachine();
  fake.tree.reset();
  EXPECT_EQ(error_for(fake).code(), Errc::missing);
}

TEST(Plan, SameInputsSameBytes) {
  LoadPlan a = plan_for(FakeMachine());
  LoadPlan b = plan_for(FakeMachine());
  for (size_t i = 0; i < a.segments.size(); ++i) EXPECT_EQ(a.segments[i].data, b.segments[i].data);
}

}  // namespace
}  // namespace kdk
