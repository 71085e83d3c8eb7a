// The digest of the loaded segments: when it is on, what it covers, and the map it is computed over on arm64.
// That the purgatory's code works is for purgatory/run_code.cc and purgatory/machine_test.py to show.
#include "loader/plan/digest.h"

#include <gtest/gtest.h>

#include "loader/purgatory/identity_map.h"
#include "loader/state/record.h"
#include "loader/state/request.h"
#include "tests/support/fake_machine.h"
#include "tests/unit/loader/plan_helpers.h"

namespace kdk {
namespace {

using purgatory::Finished;
using purgatory::ResetKind;
using testing::check_of;
using testing::FakeMachine;

LoadInputs inputs_with(DigestMode mode, uint8_t seed = 1) {
  LoadInputs inputs;
  inputs.kernel = {"/boot/vmlinuz", testing::FakeImage().bytes()};
  inputs.initrd = testing::small_initrd();
  inputs.seeds.kaslr.fill(seed);
  inputs.seeds.rng.fill(seed);
  inputs.digest = mode;
  return inputs;
}

LoadPlan plan_with(const FakeMachine& fake, DigestMode mode = DigestMode::automatic) {
  return testing::plan_of(fake, inputs_with(mode));
}

FakeMachine without_reset() {
  FakeMachine fake;
  fake.tree->psci_method = nullptr;
  return fake;
}

uint64_t parameter(const Segment& segment, size_t offset) {
  return load<ul64>(segment.data, purgatory::arm64_code.size_bytes() + offset).value();
}

TEST(Digest, OnWhereItIsQuick) {
  LoadPlan plan = plan_with(FakeMachine());
  EXPECT_TRUE(plan.digest.on);
  EXPECT_TRUE(plan.digest.instructions);
  EXPECT_EQ(check_of(plan, "digest").status, Check::Status::ok) << check_of(plan, "digest").detail;
  EXPECT_NE(check_of(plan, "digest").detail.find("console ttyAMA0"), std::string::npos);
  const Segment* checker = plan.find_segment("purgatory");
  ASSERT_NE(checker, nullptr);
  EXPECT_EQ(plan.entry, checker->memory.start);
  EXPECT_TRUE(std::is_sorted(plan.segments.begin(), plan.segments.end(),
                             [](const Segment& a, const Segment& b) { return a.memory < b.memory; }));

  Finished finished = purgatory::read_segment(purgatory::arm64_code, checker->data);
  EXPECT_EQ(finished.next, plan.find_segment("trampoline")->memory.start);
  ASSERT_EQ(finished.checked.size(), plan.segments.size() - 1);
  uint64_t bytes = 0;
  for (const purgatory::Checked& checked : finished.checked) {
    const Segment* segment = plan.find_segment(checked.name);
    ASSERT_NE(segment, nullptr) << checked.name;
    EXPECT_EQ(checked.data, (Range{segment->memory.start, segment->data.size()}));
    Sha256 sum;
    sum.add(segment->data);
    EXPECT_EQ(checked.sha256, sum.digest()) << checked.name;
    bytes += segment->data.size();
  }
  EXPECT_EQ(plan.digest.bytes, bytes);
  EXPECT_EQ(parameter(*checker, offsetof(purgatory::Parameters, reset)), uint64_t(ResetKind::psci_hvc));
  EXPECT_EQ(parameter(*checker, offsetof(purgatory::Parameters, console_address)), 0x9000000u);
}

TEST(Digest, StacksAndTablesDoNotMeet) {
  for (uint64_t pages : {4096, 16384, 65536}) {
    LoadPlan plan = plan_with(FakeMachine::with_pages(pages));
    const Segment* checker = plan.find_segment("purgatory");
    ASSERT_NE(checker, nullptr) << pages;
    uint64_t root = parameter(*checker, offsetof(purgatory::Parameters, translation_table));
    uint64_t stacks_end = checker->memory.start + purgatory::arm64_code.size_bytes() + purgatory::stacks_at +
                          purgatory::stacks_size;
    EXPECT_EQ(root % pages, 0u);
    EXPECT_GE(root, stacks_end);
    EXPECT_LT(root, checker->memory.end());
    EXPECT_EQ(parameter(*checker, offsetof(purgatory::Parameters, translation_granule)),
              purgatory::translation_granule(pages));
  }
}

TEST(Digest, X86HasNoMap) {
  LoadInputs inputs = inputs_with(DigestMode::automatic);
  inputs.kernel.bytes = testing::FakeBzImage().bytes();
  inputs.call = LoadCall::kexec_load;
  LoadPlan plan = testing::plan_of(FakeMachine::x86_64(), inputs);
  EXPECT_TRUE(plan.good());
  const Segment* checker = plan.find_segment("purgatory");
  ASSERT_NE(checker, nullptr);
  EXPECT_EQ(plan.entry, checker->memory.start);
  Finished finished = purgatory::read_segment(purgatory::x86_64_code, checker->data);
  EXPECT_EQ(finished.next, plan.find_segment("trampoline")->memory.start);
  // This machine's kernel keeps the program headers right itself.
  EXPECT_TRUE(plan.find_segment("elfcorehdr")->rewritten_by_kernel);
  EXPECT_EQ(finished.checked.size(), plan.segments.size() - 2);
  EXPECT_GE(checker->memory.size, checker->data.size() + purgatory::stacks_size);

  // The kernel has a purgatory of its own for the other call.
  inputs.kernel.bytes = testing::FakeBzImage().bytes();
  inputs.initrd = testing::small_initrd();
  inputs.call = LoadCall::kexec_file_load;
  plan = testing::plan_of(FakeMachine::x86_64(), inputs);
  EXPECT_TRUE(plan.digest.on);
  EXPECT_EQ(plan.digest.bytes, 0u);
}

TEST(Digest, OffWhenAskedForOrSlow) {
  LoadPlan plan = plan_with(FakeMachine(), DigestMode::off);
  EXPECT_FALSE(plan.digest.on);
  EXPECT_EQ(plan.find_segment("purgatory"), nullptr);
  EXPECT_EQ(plan.entry, plan.find_segment("trampoline")->memory.start);
  EXPECT_TRUE(plan.good());

  // 24 MB: more than 0.2 s without instructions, far less with them.
  FakeMachine fake;
  LoadInputs inputs = inputs_with(DigestMode::automatic);
  inputs.initrd->bytes = testing::fake_cpio({{"init", 24000000}});
  EXPECT_TRUE(testing::plan_of(fake, inputs).digest.on);
  fake.cpuinfo = "processor\t: 0\nFeatures\t: sha2\n\nprocessor\t: 1\nFeatures\t: fp asimd\n";
  plan = testing::plan_of(fake, inputs);
  EXPECT_FALSE(plan.digest.on);
  EXPECT_NE(plan.digest.reason.find("without SHA-256 instructions"), std::string::npos) << plan.digest.reason;
  EXPECT_TRUE(plan.good());
  fake.cpuinfo = "";  // not known counts as without
  EXPECT_FALSE(testing::plan_of(fake, inputs).digest.on);
  inputs.digest = DigestMode::on;
  EXPECT_TRUE(testing::plan_of(fake, inputs).digest.on);
}

TEST(Digest, WithoutAWayToResetOnlyWhenAskedFor) {
  LoadPlan plan = plan_with(without_reset());
  EXPECT_FALSE(plan.digest.on);
  EXPECT_NE(plan.digest.reason.find("no way to reset"), std::string::npos);
  plan = plan_with(without_reset(), DigestMode::on);
  EXPECT_TRUE(plan.digest.on);
  EXPECT_EQ(check_of(plan, "digest").status, Check::Status::warning);
  EXPECT_TRUE(plan.good());
}

TEST(Digest, WhatCannotBeDoneIsRefusedOnlyWhenAskedFor) {
  FakeMachine fake;
  fake.kcore = false;  // and with it the page size
  EXPECT_FALSE(plan_with(fake).digest.on);
  LoadPlan plan = plan_with(fake, DigestMode::on);
  EXPECT_EQ(check_of(plan, "digest").status, Check::Status::failed);
  EXPECT_FALSE(plan.good());
  LoadInputs inputs = inputs_with(DigestMode::on);
  inputs.call = LoadCall::kexec_file_load;
  plan = testing::plan_of(FakeMachine(), inputs);
  EXPECT_EQ(check_of(plan, "digest").status, Check::Status::failed);
  EXPECT_NE(check_of(plan, "digest").detail.find("--syscall kexec"), std::string::npos);
}

TEST(Digest, WhatTheKernelMayRewriteIsLeftOut) {
  testing::TempDir temp;
  FakeMachine().write(temp.path());
  Machine machine = read_machine(SysRoot(temp.path()));
  LoadPlan plan = plan_with(FakeMachine(), DigestMode::off);
  for (Segment& segment : plan.segments) segment.rewritten_by_kernel = segment.name == "elfcorehdr";
  Placer placer({0x7a000000, 0x100000});
  add_digest(machine, DigestMode::on, placer, plan);
  Finished finished = purgatory::read_segment(purgatory::arm64_code, plan.find_segment("purgatory")->data);
  EXPECT_EQ(finished.checked.size(), plan.segments.size() - 2);
  for (const purgatory::Checked& checked : finished.checked) EXPECT_NE(checked.name, "elfcorehdr");
  EXPECT_EQ(check_digest(plan).status, Check::Status::ok);
  // The check notices both mistakes.
  plan.segments[0].rewritten_by_kernel = true;
  EXPECT_EQ(check_digest(plan).status, Check::Status::failed);
  for (Segment& segment : plan.segments) segment.rewritten_by_kernel = false;
  EXPECT_EQ(check_digest(plan).status, Check::Status::failed);
}

TEST(Digest, NoRoom) {
  testing::TempDir temp;
  FakeMachine().write(temp.path());
  Machine machine = read_machine(SysRoot(temp.path()));
  LoadPlan plan = plan_with(FakeMachine(), DigestMode::off);
  Placer placer({0x7a000000, 0x8000});
  add_digest(machine, DigestMode::automatic, placer, plan);
  EXPECT_FALSE(plan.digest.on);
  EXPECT_NE(plan.digest.reason.find("no room"), std::string::npos);
  EXPECT_THROW(add_digest(machine, DigestMode::on, placer, plan), Error);
}

// Seeds are new in every plan, and change the device tree's digest; verify must not see that.
TEST(Digest, IdentitiesDoNotDependOnSeeds) {
  LoadInputs one = inputs_with(DigestMode::on, 0x11), other = inputs_with(DigestMode::on, 0x22);
  LoadPlan a = testing::plan_of(FakeMachine(), one), b = testing::plan_of(FakeMachine(), other);
  EXPECT_NE(a.find_segment("purgatory")->data, b.find_segment("purgatory")->data);
  EXPECT_EQ(identify_segments(a, one.seeds), identify_segments(b, other.seeds));
}

TEST(Digest, TheRecordKeepsTheChoice) {
  testing::TempDir temp;
  SysRoot root(temp.path() / "root");
  FakeMachine().write(temp.path() / "root");
  testing::write_test_file(temp.path() / "Image", testing::FakeImage().bytes());
  for (DigestMode mode : {DigestMode::automatic, DigestMode::on, DigestMode::off}) {
    LoadRequest request;
    request.kernel = temp.path() / "Image";
    request.digest = mode;
    write_record(root, make_record(root, prepare_load(read_machine(root), request)));
    EXPECT_EQ(read_record(root)->request->digest, mode);
  }
  std::filesystem::path file = root.path(load_record_path);
  std::string text = read_text_file(file);
  text.replace(text.find("\"digest\": \"off\""), 15, "\"digest\": \"odd\"");
  testing::write_test_file(file, as_bytes(text));
  EXPECT_THROW(read_record(root), Error);
}

TEST(Digest, DamagedSegmentsAreNotRead) {
  LoadPlan plan = plan_with(FakeMachine());
  std::vector<uint8_t> data = plan.find_segment("purgatory")->data;
  size_t count_at = purgatory::arm64_code.size_bytes() + offsetof(purgatory::Parameters, range_count);
  for (uint64_t count : {uint64_t{16}, ~uint64_t{0}}) {
    store(data, count_at, ul64(count));
    EXPECT_THROW(purgatory::read_segment(purgatory::arm64_code, data), Error);
  }
  data[100] ^= 1;
  EXPECT_THROW(purgatory::read_segment(purgatory::arm64_code, data), Error);
  EXPECT_THROW(purgatory::read_segment(purgatory::arm64_code, Bytes(data).first(500)), Error);
}

TEST(Digest, SegmentsThatDoNotFit) {
  purgatory::Request request;
  request.code = purgatory::x86_64_code;
  request.checked = {{"a_name_of_16_char", {0x1000, 10}, {}}};
  EXPECT_THROW(purgatory::make_segment(request, 0x2000), Error);
  request.checked = {{"kernel", {0x1004, 10}, {}}};
  EXPECT_THROW(purgatory::make_segment(request, 0x2000), Error);
  request.checked.assign(16, {"kernel", {0x1000, 10}, {}});
  EXPECT_THROW(purgatory::make_segment(request, 0x2000), Error);
  request.checked.pop_back();
  EXPECT_EQ(purgatory::read_segment(request.code, purgatory::make_segment(request, 0x2000)).checked.size(),
            15u);
}

// Every leaf of the tables, found as the CPU walks them (Arm ARM, D8.3, 48-bit addresses): what is mapped
// where, and with which attributes.
struct Walk {
  Bytes tables;
  uint64_t at;
  unsigned page_bits;
  std::vector<Range> mapped;

  void table(uint64_t address, uint64_t base, unsigned shift) {
    ASSERT_EQ(address % (uint64_t{1} << page_bits), 0u);
    for (uint64_t i = 0; i < (uint64_t{1} << (page_bits - 3)); ++i) {
      uint64_t entry = load<ul64>(tables, address - at + 8 * i).value();
      uint64_t output = entry & 0xfffffffff000 & ~((uint64_t{1} << page_bits) - 1);
      uint64_t input = base + (i << shift);
      if ((entry & 1) == 0) continue;
      bool last = shift == page_bits;
      if (!last && (entry & 2) != 0) {
        table(output, input, shift - (page_bits - 3));
        continue;
      }
      ASSERT_EQ((entry & 2) != 0, last);  // a page at the last level, a block above it
      // Blocks that exist without LPA2: 1 GiB and 2 MiB, 32 MiB, 512 MiB.
      ASSERT_TRUE(last || shift == 2 * page_bits - 3 || (page_bits == 12 && shift == 30)) << shift;
      EXPECT_EQ(output, input);
      EXPECT_EQ(output % (uint64_t{1} << shift), 0u);
      EXPECT_EQ(entry & ~(output | 3),
                0x700u);  // accessed, inner shareable, attribute 0, writable, executable
      mapped.push_back({input, uint64_t{1} << shift});
    }
  }
};

TEST(IdentityMap, CoversTheRegionAndNothingElse) {
  const std::pair<uint64_t, unsigned> granules[] = {{4096, 39}, {16384, 47}, {65536, 42}};
  const Range regions[] = {{0x6ac00000, 0x10000000},  {0x40000000, 0x40000000},   {0x7fff0000, 0x20000},
                           {0x840000000, 0x20000000}, {0xfff0000, 0x10000},       {0x3fff0000, 0xc0020000},
                           {0x7fffffff0000, 0x20000}, {0xfffffff00000, 0x100000}, {0x100000000, 0x100000000}};
  for (auto [page, root_shift] : granules) {
    for (const Range& region : regions) {
      uint64_t at = 0x50000000;
      std::vector<uint8_t> tables = purgatory::make_identity_map(region, page, at);
      Walk walk{tables, at, static_cast<unsigned>(std::countr_zero(page)), {}};
      walk.table(at, 0, root_shift);
      EXPECT_EQ(total_size(walk.mapped), region.size) << to_string(region);
      EXPECT_EQ(merge_ranges(walk.mapped), std::vector<Range>{region}) << page;
      EXPECT_LE(tables.size(), 12 * page) << to_string(region);
    }
  }
}

TEST(IdentityMap, RefusesWhatItCannotMap) {
  constexpr uint64_t end = purgatory::identity_map_limit;
  const std::pair<Range, uint64_t> bad[] = {{{0x1000, 0x1000}, 8192},       {{0x1000, 0x1000}, 65536},
                                            {{0x10000, 0x1000}, 65536},     {{0x10000, 0}, 4096},
                                            {{end - 0x1000, 0x2000}, 4096}, {{end, 0x1000}, 4096}};
  for (const auto& [region, page] : bad)
    EXPECT_THROW(purgatory::make_identity_map(region, page, 0x50000000), Error) << to_string(region);
  EXPECT_THROW(purgatory::make_identity_map({0x10000, 0x10000}, 65536, 0x50001000), Error);
  EXPECT_NO_THROW(purgatory::make_identity_map({end - 0x10000, 0x10000}, 65536, 0x50000000));
}

PurgatoryFacts facts_of(const FakeMachine& fake) {
  testing::TempDir temp;
  fake.write(temp.path());
  return read_machine(SysRoot(temp.path())).purgatory;
}

TEST(PurgatoryFacts, Reset) {
  FakeMachine fake;
  EXPECT_EQ(facts_of(fake).reset, ResetKind::psci_hvc);
  fake.tree->psci_method = "smc";
  EXPECT_EQ(facts_of(fake).reset, ResetKind::psci_smc);
  fake.tree->psci_method = "nmi";
  EXPECT_EQ(facts_of(fake).reset, ResetKind::none);
  EXPECT_EQ(purgatory::ResetKind::none, psci_reset(Bytes()));
  std::vector<uint8_t> damaged = testing::FakeTree::booted().bytes();
  damaged.resize(damaged.size() / 2);
  EXPECT_EQ(psci_reset(damaged), ResetKind::none);
  std::vector<uint8_t> old = testing::FakeTree::booted().bytes();
  old[23] = 15;  // the version's last byte
  EXPECT_EQ(psci_reset(old), ResetKind::none);
  EXPECT_EQ(facts_of(FakeMachine::x86_64()).reset, ResetKind::x86);
}

TEST(PurgatoryFacts, ResetByAcpi) {
  testing::TempDir temp;
  without_reset().write(temp.path());
  for (auto [flags, expected] : {std::pair<uint8_t, ResetKind>{0, ResetKind::none},
                                 {1, ResetKind::psci_smc},
                                 {2, ResetKind::none},
                                 {3, ResetKind::psci_hvc}}) {
    std::vector<uint8_t> fadt(276);
    fadt[129] = flags;
    testing::write_test_file(temp.path() / "sys/firmware/acpi/tables/FACP", fadt);
    EXPECT_EQ(read_machine(SysRoot(temp.path())).purgatory.reset, expected);
    fadt.resize(130);  // of ACPI 4
    testing::write_test_file(temp.path() / "sys/firmware/acpi/tables/FACP", fadt);
    EXPECT_EQ(read_machine(SysRoot(temp.path())).purgatory.reset, ResetKind::none);
  }
}

TEST(PurgatoryFacts, Console) {
  using purgatory::ConsoleKind;
  FakeMachine fake;
  auto kind = [&] { return facts_of(fake).console ? facts_of(fake).console->kind : ConsoleKind::none; };
  EXPECT_EQ(kind(), ConsoleKind::pl011);
  fake.serial_ports["ttyAMA0/iomem_base"] = "0x0";
  EXPECT_EQ(kind(), ConsoleKind::none);
  // An 8250 in memory, with its registers four bytes apart.
  fake.consoles = "ttyS1";
  fake.serial_ports = {{"ttyS1/type", "4"},
                       {"ttyS1/io_type", "3"},
                       {"ttyS1/iomem_base", "0xFE201000"},
                       {"ttyS1/iomem_reg_shift", "2"}};
  EXPECT_EQ(kind(), ConsoleKind::uart8250_32);
  EXPECT_EQ(facts_of(fake).console->shift, 2u);
  fake.serial_ports["ttyS1/io_type"] = "2";
  EXPECT_EQ(kind(), ConsoleKind::uart8250_8);
  fake.serial_ports["ttyS1/iomem_reg_shift"] = "40";
  EXPECT_EQ(kind(), ConsoleKind::none);
  fake.serial_ports["ttyS1/iomem_reg_shift"] = "2";
  fake.serial_ports["ttyS1/type"] = "77";
  EXPECT_EQ(kind(), ConsoleKind::none);
  fake.consoles = "../ttyS1 ";
  EXPECT_EQ(kind(), ConsoleKind::none);

  fake = FakeMachine::x86_64();
  EXPECT_EQ(kind(), ConsoleKind::uart8250_io);
  EXPECT_EQ(facts_of(fake).console->address, 0x3f8u);
  fake.serial_ports["ttyS0/port"] = "0xFFFC";
  EXPECT_EQ(kind(), ConsoleKind::none);
  // Registers in memory are out of reach there.
  fake.serial_ports = {{"ttyS0/type", "4"}, {"ttyS0/io_type", "2"}, {"ttyS0/iomem_base", "0xFEDC9000"}};
  EXPECT_EQ(kind(), ConsoleKind::none);
}

}  // namespace
}  // namespace kdk
