// Machines with something unusual about their memory or their CPUs, on both architectures and by both system
// calls: nothing of them may be lost, and nothing may be offered that is not theirs.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "loader/plan/plan.h"
#include "tests/support/fake_machine.h"
#include "tests/unit/loader/plan_helpers.h"

namespace kdk {
namespace {

using testing::FakeMachine;

struct Way {
  bool arm64 = false;
  LoadCall call = LoadCall::kexec_load;
};

class OddMachines : public ::testing::TestWithParam<Way> {
 protected:
  FakeMachine fake = GetParam().arm64 ? FakeMachine() : FakeMachine::x86_64();

  bool by_segments() const { return GetParam().call == LoadCall::kexec_load; }

  // A plan without a failed check, and without a warning but for `warned`.
  LoadPlan good_plan(std::string_view warned = "") {
    if (GetParam().arm64) fake.config = "CONFIG_KEXEC=y\nCONFIG_KEXEC_FILE=y\n";
    LoadInputs inputs;
    inputs.kernel = {"/boot/kernel",
                     GetParam().arm64 ? testing::FakeImage().bytes() : testing::FakeBzImage().bytes()};
    inputs.initrd = testing::small_initrd();
    inputs.seeds.kaslr.fill(1);
    inputs.seeds.rng.fill(2);
    inputs.call = GetParam().call;
    LoadPlan plan = testing::plan_of(fake, std::move(inputs));
    for (const Check& check : plan.checks) {
      Check::Status wanted = check.name == warned ? Check::Status::warning : Check::Status::ok;
      EXPECT_EQ(check.status, wanted) << check.name << ": " << check.detail;
    }
    return plan;
  }

  // Whatever is loaded lies in the main region.
  static void expect_inside(const LoadPlan& plan, const Range& main) {
    EXPECT_EQ(plan.main_region(), main);
    for (const Segment& segment : plan.segments) EXPECT_TRUE(main.contains(segment.memory)) << segment.name;
    for (const ExpectedSegment& segment : plan.expected)
      EXPECT_TRUE(main.contains(segment.memory)) << segment.name;
  }

  // What the program headers offer above `from`; the lowest megabyte is x86-64's own affair.
  static std::vector<Range> dumped_above(const LoadPlan& plan, uint64_t from) {
    std::vector<Range> ranges;
    for (const CoreHeader& header : plan.core_headers) {
      if (header.kind == CoreHeader::Kind::ram && header.memory.start >= from)
        ranges.push_back(header.memory);
    }
    return ranges;
  }
};

TEST_P(OddMachines, LowAndHighRegion) {
  fake.iomem =
      "00100000-bfffffff : System RAM\n"
      "  a0000000-afffffff : Crash kernel\n"
      "100000000-87fffffff : System RAM\n"
      "  840000000-85fffffff : Crash kernel\n";
  fake.crash_size.reset();
  LoadPlan plan = good_plan();
  expect_inside(plan, {0x840000000, 0x20000000});
  EXPECT_EQ(total_size(plan.crash_regions), 0x30000000u);
  EXPECT_EQ(plan.memory.usable, 0x30000000u);
  if (by_segments()) {
    EXPECT_EQ(dumped_above(plan, 0x100000), (std::vector<Range>{{0x100000, 0x9ff00000},
                                                                {0xb0000000, 0x10000000},
                                                                {0x100000000, 0x740000000},
                                                                {0x860000000, 0x20000000}}));
  }
}

TEST_P(OddMachines, ARegionOnBothSidesOf4GiB) {
  fake.iomem =
      "00100000-13fffffff : System RAM\n"
      "  f8000000-107ffffff : Crash kernel\n";
  LoadPlan plan = good_plan();
  expect_inside(plan, {0xf8000000, 0x10000000});
  if (by_segments()) {
    EXPECT_EQ(dumped_above(plan, 0x100000),
              (std::vector<Range>{{0x100000, 0xf7f00000}, {0x108000000, 0x38000000}}));
  }
  if (plan.device_tree && by_segments()) {
    ChosenNode chosen = read_chosen(plan.find_segment("dtb")->data);
    EXPECT_EQ(chosen.usable_memory, (std::vector<Range>{{0xf8000000, 0x10000000}}));
  }
}

TEST_P(OddMachines, MemoryOfDrivers) {
  fake.iomem +=
      "140000000-17fffffff : Persistent Memory\n"
      "  140000000-17fffffff : dax0.0\n"
      "    140000000-17fffffff : System RAM (kmem)\n"
      "180000000-18fffffff : System RAM (virtio_mem)\n"
      "1a0000000-1afffffff : System RAMdisk\n";
  LoadPlan plan = good_plan();
  EXPECT_TRUE(inside_any({0x140000000, 0x50000000}, plan.system_ram));
  EXPECT_EQ(plan.system_ram.back().end(), 0x190000000u);
  if (by_segments()) {
    EXPECT_EQ(dumped_above(plan, 0x100000000), (std::vector<Range>{{0x140000000, 0x50000000}}));
  }
}

TEST_P(OddMachines, RangesThatAreListedTwice) {
  LoadPlan once = good_plan();
  std::string crash =
      GetParam().arm64 ? "6ac00000-7abfffff : Crash kernel\n" : "2f000000-3effffff : Crash kernel\n";
  fake.iomem.insert(fake.iomem.find(crash) + crash.size(), "    " + crash + "  " + crash);
  std::string ram =
      GetParam().arm64 ? "40000000-7fffffff : System RAM\n" : "00100000-3ffdcfff : System RAM\n";
  fake.iomem.insert(fake.iomem.find(ram), ram);
  LoadPlan twice = good_plan();
  EXPECT_EQ(twice.crash_regions, once.crash_regions);
  EXPECT_EQ(twice.system_ram, once.system_ram);
  EXPECT_EQ(dumped_above(twice, 0), dumped_above(once, 0));
}

TEST_P(OddMachines, CpuNumbersWithHoles) {
  uint64_t at = fake.cpus[0].notes;
  fake.cpus = {{0, at}, {2, at + 0x1000}, {17, at + 0x2000, false}, {100, at + 0x3000}};
  LoadPlan plan = good_plan();
  ASSERT_EQ(plan.cpu_notes.size(), 4u);
  EXPECT_EQ(plan.cpu_notes[2], (CpuNote{17, {at + 0x2000, 1024}}));
  EXPECT_EQ(plan.cpu_notes[3], (CpuNote{100, {at + 0x3000, 424}}));
  if (by_segments()) {
    for (size_t i = 0; i < 4; ++i) {
      EXPECT_EQ(plan.core_headers[i].cpu, plan.cpu_notes[i].cpu);
      EXPECT_EQ(plan.core_headers[i].memory, plan.cpu_notes[i].memory);
    }
  }
}

// With kexec_file_load the kernel knows where its CPUs write; with kexec_load nobody but sysfs tells.
TEST_P(OddMachines, CpusWithoutNotesAreNamed) {
  fake.cpus[1].with_notes = false;
  fake.cpus.push_back({3, fake.cpus[0].notes + 0x1000});
  LoadPlan plan = good_plan(by_segments() ? "cpu_notes" : "");
  EXPECT_EQ(plan.cpu_notes.size(), 2u);
  if (by_segments()) {
    EXPECT_NE(testing::check_of(plan, "cpu_notes").detail.find("CPU 1:"), std::string::npos);
  }
}

// Only the present ones are in sysfs, with their notes; the kernel's own header has room for all.
TEST_P(OddMachines, MoreCpusPossibleThanPresent) {
  fake.elfcorehdr_size.reset();
  fake.possible_cpus = "0-1\n";
  auto header_of = [&](const LoadPlan& plan) {
    return by_segments() ? plan.find_segment("elfcorehdr")->memory : testing::expected(plan, "elfcorehdr");
  };
  Range two = header_of(good_plan());
  fake.possible_cpus = "0-3,8-511\n";
  LoadPlan plan = good_plan();
  EXPECT_EQ(plan.cpu_notes.size(), 2u);
  EXPECT_EQ(header_of(plan).size, by_segments() ? two.size : 0x8000u);  // 508 and some of 56 bytes
}

INSTANTIATE_TEST_SUITE_P(
    Ways, OddMachines,
    ::testing::Values(Way{true, LoadCall::kexec_load}, Way{true, LoadCall::kexec_file_load},
                      Way{false, LoadCall::kexec_load}, Way{false, LoadCall::kexec_file_load}),
    [](const auto& way) {
      return fmt::format("{}_{}", way.param.arm64 ? "arm64" : "x86_64", to_string(way.param.call));
    });

}  // namespace
}  // namespace kdk
