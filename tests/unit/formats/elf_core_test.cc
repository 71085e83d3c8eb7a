#include <gtest/gtest.h>

#include <algorithm>

#include "core/base/error.h"
#include "tests/unit/formats/raw_dump.h"

namespace kdk::test {
namespace {

PageState state(const Dump& dump, uint64_t pfn) {
  return dump.state(Pfn{pfn});
}

TEST(ElfCore, ReadsNotesAndPages) {
  std::unique_ptr<Dump> dump =
      open_bytes(build(RawElf{.segments = {pattern_segment(0x100, 3), pattern_segment(0x200, 1)}}));
  EXPECT_EQ(dump->info().format, DumpFormat::elf);
  EXPECT_EQ(dump->info().elf_machine, 183);
  EXPECT_EQ(dump->info().page_size, 4096u);
  EXPECT_FALSE(dump->info().page_size_assumed);
  EXPECT_FALSE(dump->info().incomplete);
  EXPECT_EQ(dump->notes().size(), 2u);
  EXPECT_EQ(dump->vmcoreinfo().value("OSRELEASE"), "6.12.0-test");
  EXPECT_EQ(dump->ram(), (std::vector<PfnRange>{{{0x100}, {0x103}}, {{0x200}, {0x201}}}));
  EXPECT_EQ(dump->end_pfn(), Pfn{0x201});
  for (uint64_t pfn : {0x100, 0x101, 0x102, 0x200}) EXPECT_TRUE(has_pattern(*dump, pfn)) << pfn;
  for (uint64_t pfn : {0x0ff, 0x103, 0x1ff, 0x201}) EXPECT_EQ(state(*dump, pfn), PageState::missing) << pfn;
  EXPECT_EQ(state(*dump, ~uint64_t{0}), PageState::missing);
  EXPECT_TRUE(dump->problems().empty());
}

// The kernel image is in a segment of its own and inside RAM: one page frame, whichever copy serves.
TEST(ElfCore, CountsOverlappingSegmentsOnce) {
  std::unique_ptr<Dump> dump =
      open_bytes(build(RawElf{.segments = {pattern_segment(0x104, 4), pattern_segment(0x100, 16)}}));
  EXPECT_EQ(dump->ram(), (std::vector<PfnRange>{{{0x100}, {0x110}}}));
  for (uint64_t pfn = 0x100; pfn < 0x110; ++pfn) EXPECT_TRUE(has_pattern(*dump, pfn)) << pfn;
}

TEST(ElfCore, TailBeyondFileSizeIsExcluded) {
  RawSegment filtered = pattern_segment(0x100, 2);
  filtered.memory_size = 5 * raw_page;
  std::unique_ptr<Dump> dump = open_bytes(build(RawElf{.segments = {filtered}}));
  EXPECT_TRUE(has_pattern(*dump, 0x101));
  for (uint64_t pfn : {0x102, 0x104}) EXPECT_EQ(state(*dump, pfn), PageState::excluded);
  EXPECT_EQ(state(*dump, 0x105), PageState::missing);
  EXPECT_EQ(dump->ram(), (std::vector<PfnRange>{{{0x100}, {0x105}}}));
  EXPECT_FALSE(dump->info().incomplete);
}

// What one segment leaves out another may hold.
TEST(ElfCore, DataWinsOverExclusion) {
  RawSegment empty{0x100 * raw_page, {}, 4 * raw_page};
  std::unique_ptr<Dump> dump = open_bytes(build(RawElf{.segments = {empty, pattern_segment(0x102, 1)}}));
  EXPECT_EQ(state(*dump, 0x101), PageState::excluded);
  EXPECT_TRUE(has_pattern(*dump, 0x102));
}

TEST(ElfCore, SegmentCountMayBeInASectionHeader) {
  RawElf elf{.segments = {pattern_segment(0x100, 1), pattern_segment(0x180, 1)}};
  elf.count_in_section_header = true;
  std::unique_ptr<Dump> dump = open_bytes(build(elf));
  EXPECT_TRUE(has_pattern(*dump, 0x100));
  EXPECT_TRUE(has_pattern(*dump, 0x180));
}

TEST(ElfCore, ManySegmentsAreFound) {
  RawElf elf;
  for (uint64_t i = 0; i < 300; ++i) elf.segments.push_back(pattern_segment(0x1000 + i * 2, 1));
  std::reverse(elf.segments.begin(), elf.segments.end());
  std::unique_ptr<Dump> dump = open_bytes(build(elf));
  EXPECT_EQ(dump->ram().size(), 300u);
  for (uint64_t i = 0; i < 300; ++i) {
    EXPECT_TRUE(has_pattern(*dump, 0x1000 + i * 2));
    EXPECT_EQ(state(*dump, 0x1001 + i * 2), PageState::missing);
  }
}

// Half a page of data is better than none; what no segment describes reads as zeros.
TEST(ElfCore, PageAtAnUnalignedEdgeIsPutTogether) {
  RawSegment low{0x100 * raw_page + 0x800, std::vector<uint8_t>(0x400, 0xaa), 0};
  RawSegment high{0x100 * raw_page + 0xc00, std::vector<uint8_t>(0x1400, 0xbb), 0};
  std::unique_ptr<Dump> dump = open_bytes(build(RawElf{.segments = {high, low}}));
  EXPECT_EQ(dump->ram(), (std::vector<PfnRange>{{{0x100}, {0x102}}}));
  std::unique_ptr<PageReader> reader = dump->reader();
  PageView page = reader->page(Pfn{0x100});
  ASSERT_EQ(page.state, PageState::present);
  EXPECT_EQ(page.bytes[0x7ff], 0);
  EXPECT_EQ(page.bytes[0x800], 0xaa);
  EXPECT_EQ(page.bytes[0xbff], 0xaa);
  EXPECT_EQ(page.bytes[0xc00], 0xbb);
  EXPECT_EQ(page.bytes[0xfff], 0xbb);
  EXPECT_EQ(reader->page(Pfn{0x101}).bytes[0xfff], 0xbb);
}

TEST(ElfCore, TruncatedFileOpensAndSaysWhatIsLost) {
  std::vector<uint8_t> bytes = build(RawElf{.segments = {pattern_segment(0x100, 4)}});
  bytes.resize(bytes.size() - raw_page - 1);
  std::unique_ptr<Dump> dump = open_bytes(bytes);
  EXPECT_TRUE(dump->info().incomplete);
  EXPECT_NE(dump->info().incomplete_reason.find("truncated"), std::string::npos);
  EXPECT_TRUE(has_pattern(*dump, 0x101));
  for (uint64_t pfn : {0x102, 0x103}) {
    EXPECT_EQ(state(*dump, pfn), PageState::unreadable);
    EXPECT_EQ(dump->reader()->page(Pfn{pfn}).state, PageState::unreadable);
  }
}

TEST(ElfCore, UnfinishedMarkIsReported) {
  EXPECT_TRUE(open_bytes(build(RawElf{.segments = {pattern_segment(1, 1)}, .flags = 1}))->info().incomplete);
}

TEST(ElfCore, PageSizeComesFromVmcoreinfo) {
  RawSegment segment{uint64_t{65536} * 5, pattern_page(5, 65536), 0};
  std::unique_ptr<Dump> dump =
      open_bytes(build(RawElf{.segments = {segment}, .notes = raw_notes("PAGESIZE=65536\n")}));
  EXPECT_EQ(dump->info().page_size, 65536u);
  EXPECT_TRUE(has_pattern(*dump, 5));
  dump = open_bytes(build(RawElf{.segments = {segment}, .notes = raw_notes("PAGESIZE=5000\n")}));
  EXPECT_EQ(dump->info().page_size, 4096u);
  EXPECT_TRUE(dump->info().page_size_assumed);
  EXPECT_EQ(dump->problems().size(), 1u);
}

TEST(ElfCore, VmcoreinfoCanBeGiven) {
  std::vector<uint8_t> notes;
  append_note(notes, "CORE", nt_prstatus, std::vector<uint8_t>(392));
  RawElf elf{.segments = {RawSegment{0, pattern_page(0, 16384), 0}}, .notes = notes};
  OpenOptions options;
  options.vmcoreinfo_text = "PAGESIZE=16384\nOSRELEASE=given";
  std::unique_ptr<Dump> dump = open_bytes(build(elf), options);
  EXPECT_EQ(dump->vmcoreinfo().value("OSRELEASE"), "given");
  EXPECT_EQ(dump->info().page_size, 16384u);
  // A copy of the notes carries it on.
  EXPECT_EQ(parse_notes(dump->raw_notes()).back().name, "VMCOREINFO");
  EXPECT_EQ(dump->info().vmcoreinfo_source, VmcoreinfoSource::given);
  EXPECT_TRUE(dump->problems().empty());

  // The dump's own gives way, which is said.
  elf.notes = raw_notes("OSRELEASE=own\n");
  EXPECT_EQ(open_bytes(build(elf))->vmcoreinfo().value("OSRELEASE"), "own");
  EXPECT_EQ(open_bytes(build(elf))->info().vmcoreinfo_source, VmcoreinfoSource::dump);
  dump = open_bytes(build(elf), options);
  EXPECT_EQ(dump->vmcoreinfo().value("OSRELEASE"), "given");
  EXPECT_EQ(dump->problems().size(), 1u);
  const std::vector<Note> copied = parse_notes(dump->raw_notes());
  ASSERT_EQ(copied.size(), 2u);
  EXPECT_EQ(copied[0].name, "CORE");
  EXPECT_EQ(as_text(copied[1].desc), *options.vmcoreinfo_text + "\n");
}

TEST(ElfCore, ImpossibleSegmentsAreLeftOutAndNamed) {
  std::vector<uint8_t> bytes =
      build(RawElf{.segments = {pattern_segment(0x100, 1), pattern_segment(0x200, 1)}});
  put_u64(bytes, 64 + 56 + 24, ~uint64_t{0} - 100);  // p_paddr of the first
  std::unique_ptr<Dump> dump = open_bytes(bytes);
  EXPECT_EQ(dump->ram(), (std::vector<PfnRange>{{{0x200}, {0x201}}}));
  ASSERT_EQ(dump->problems().size(), 1u);
  EXPECT_NE(dump->problems()[0].find("segment 1"), std::string::npos);
}

TEST(ElfCore, RefusesWhatItCannotReadAndSaysWhat) {
  auto refusal = [](size_t at, uint8_t value) {
    std::vector<uint8_t> bytes = build(RawElf{.segments = {pattern_segment(0x100, 1)}});
    bytes[at] = value;
    return error_of([&] { open_bytes(bytes); });
  };
  EXPECT_NE(refusal(4, 1).find("32-bit"), std::string::npos);
  EXPECT_NE(refusal(5, 2).find("big-endian"), std::string::npos);
  EXPECT_NE(refusal(16, 2).find("not a memory dump"), std::string::npos);  // ET_EXEC: a vmlinux
  EXPECT_NE(refusal(54, 32).find("e_phentsize"), std::string::npos);
  EXPECT_NE(refusal(56, 0).find("no program headers"), std::string::npos);
  EXPECT_NE(refusal(57, 0x40).find("program header"), std::string::npos);  // 16386 of them
  EXPECT_NE(refusal(39, 0x7f).find("program header"), std::string::npos);  // e_phoff far outside
}

TEST(ElfCore, ProcessCoreIsRecognised) {
  RawElf elf{.segments = {RawSegment{0, pattern_page(1), 0}, RawSegment{0, pattern_page(2), 0}}, .notes = {}};
  EXPECT_NE(error_of([&] { open_bytes(build(elf)); }).find("core of a process"), std::string::npos);
}

}  // namespace
}  // namespace kdk::test
