// Whole captures of synthetic machines, and everything that can go wrong with them.
#include "capture/save.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <csignal>
#include <fstream>
#include <nlohmann/json.hpp>

#include "core/base/file.h"
#include "core/formats/dump.h"
#include "tests/support/log_builder.h"
#include "tests/unit/capture/save_fixture.h"

namespace kdk {
namespace {

using test::PageBuilder;
using test::Save;
using Marked = test::PageClass;

TEST_F(Save, FiltersAndKeepsTheRestIntact) {
  make_machine();
  write_input(machine_.elf());
  options_.summary = dir_ / "summary.json";
  options_.log = dir_ / "log.txt";
  const CaptureReport report = save();
  EXPECT_EQ(report.status, CaptureStatus::complete) << (report.reasons.empty() ? "" : report.reasons[0]);
  const std::unique_ptr<Dump> copy = open_dump(options_.output);
  EXPECT_FALSE(copy->info().incomplete);
  EXPECT_EQ(copy->info().dump_level, 31);
  EXPECT_EQ(copy->info().uts_machine, "aarch64");
  EXPECT_EQ(copy->vmcoreinfo().text(), machine_.vmcoreinfo());
  EXPECT_EQ(check_pages(*copy), report.scan->ram_pages - 9);
  for (uint64_t i = 0; i < 9; ++i) EXPECT_EQ(copy->state(free_ + i), PageState::excluded);
  EXPECT_EQ(copy->state(cache_ + 1), PageState::present);

  EXPECT_NE(read_text_file(*options_.log).find("Kernel panic - not syncing: test\n"), std::string::npos);
  const nlohmann::json json = summary();
  EXPECT_EQ(json["status"], "complete");
  EXPECT_EQ(json["filter"]["classes"]["free"]["excluded_bytes"], 8 * 4096);
  EXPECT_EQ(json["filter"]["classes"]["cache"]["excluded_pages"], 1);
  EXPECT_EQ(json["pages"]["written_pages"], report.scan->ram_pages - 9);
  EXPECT_EQ(json["crash"]["panic_message"], "test");
  EXPECT_EQ(json["log"]["records"], 2);
  EXPECT_EQ(files(), (std::vector<std::string>{"in", "log.txt", "out", "summary.json"}));
}

TEST_F(Save, ALineSaysWhichClassesTheKernelDoesNotMark) {
  pages_ = std::make_unique<PageBuilder>(machine_, test::MemMapOptions{.era = test::PageEra::v4_9});
  write_input(machine_.elf());
  const auto kinds = [&](unsigned level) -> std::string {
    options_.level = level;
    options_.force = true;
    const CaptureReport report = save();
    const std::string_view begin = "pages of these kinds bear no mark on this kernel and are kept, if there are any: ";
    for (const std::string& note : report.notes) {
      if (note.starts_with(begin)) return note.substr(begin.size());
    }
    return "";
  };
  EXPECT_EQ(kinds(31), "unaccepted, offline");
  EXPECT_EQ(kinds(level_user), "offline");
}

TEST_F(Save, AFilteredDumpCanBeFilteredFurther) {
  make_machine();
  machine_.exclude(cache_ + 2);
  write_input(machine_.kdump());
  options_.level = level_free;
  const CaptureReport report = save();
  EXPECT_EQ(report.status, CaptureStatus::complete);
  EXPECT_EQ(report.excluded_before, 1u);
  const std::unique_ptr<Dump> copy = open_dump(options_.output);
  EXPECT_EQ(check_pages(*copy), report.scan->ram_pages - 9);
  EXPECT_EQ(copy->state(cache_), PageState::present);
  EXPECT_EQ(copy->state(cache_ + 2), PageState::excluded);
}

// A hypervisor's kdump-compressed header has the machine and nothing else; readers choose by the release.
TEST_F(Save, AHeaderWithoutNamesGetsThemFromTheKernel) {
  make_machine();
  const VirtAddr names = machine_.image_alloc(6 * 65);
  machine_.symbol("init_uts_ns", names);
  machine_.offset("uts_namespace.name", 0);
  machine_.put_text(names, "Linux");
  machine_.put_text(names + 65, "guest");
  machine_.put_text(names + 2 * 65, "6.12.0-guest");
  machine_.put_text(names + 4 * 65, "aarch64");
  std::vector<uint8_t> input = machine_.kdump();
  std::fill_n(input.begin() + 12 + 65, 3 * 65, uint8_t{0});  // nodename, release, version
  write_input(input);
  EXPECT_EQ(save().status, CaptureStatus::complete);
  const std::unique_ptr<Dump> copy = open_dump(options_.output);
  EXPECT_EQ(copy->info().uts_release, "6.12.0-guest");
  EXPECT_EQ(copy->info().uts_nodename, "guest");
  EXPECT_EQ(copy->info().uts_machine, "aarch64");
}

// The ladder: what cannot be filtered is saved whole, and said.
TEST_F(Save, WithoutVmcoreinfoEverythingIsSaved) {
  make_machine();
  std::vector<uint8_t> elf = machine_.elf();
  // The note's name, so that nothing finds it.
  const std::string_view name = "VMCOREINFO";
  const auto at = std::search(elf.begin(), elf.end(), name.begin(), name.end());
  ASSERT_NE(at, elf.end());
  *at = 'X';
  write_input(elf);
  options_.summary = dir_ / "summary.json";
  const CaptureReport report = save();
  EXPECT_EQ(report.status, CaptureStatus::partial);
  EXPECT_EQ(report.level_used, 1u);
  EXPECT_EQ(check_pages(*open_dump(options_.output)), report.scan->ram_pages);
  EXPECT_EQ(summary()["status"], "partial");
  EXPECT_FALSE(summary()["filter"]["why_level"].is_null());
  EXPECT_TRUE(summary()["crash"].is_null());

  options_.level = level_zero;  // asked for, so nothing is missing
  options_.force = true;
  EXPECT_EQ(save().status, CaptureStatus::complete);
}

TEST_F(Save, AnUnknownArchitectureIsCopiedWhole) {
  make_machine();
  std::vector<uint8_t> elf = machine_.elf();
  elf[18] = 22;  // e_machine: s390
  write_input(elf);
  const CaptureReport report = save();
  EXPECT_EQ(report.status, CaptureStatus::partial);
  EXPECT_EQ(report.machine, "s390x");
  EXPECT_EQ(check_pages(*open_dump(options_.output)), report.scan->ram_pages);
}

TEST_F(Save, MemoryBeyondAnyMachineIsRefused) {
  make_machine();
  std::vector<uint8_t> elf = machine_.elf();
  const uint64_t last = *load<ul16>(elf, 56) - 1u;  // e_phnum; the p_paddr of the last program header
  store(elf, *load<ul64>(elf, 32) + last * 56 + 24, ul64(uint64_t{1} << 51));
  write_input(elf);
  EXPECT_THROW(save(), Error);
  EXPECT_EQ(files(), (std::vector<std::string>{"in"}));
}

TEST_F(Save, ATruncatedInputIsCopiedAsFarAsItGoes) {
  make_machine();
  std::vector<uint8_t> elf = machine_.elf();
  elf.resize(elf.size() - 64 * 4096);
  write_input(elf);
  const CaptureReport report = save();
  EXPECT_EQ(report.status, CaptureStatus::partial);
  EXPECT_EQ(report.pipeline->read_errors, 64u);
  const std::unique_ptr<Dump> copy = open_dump(options_.output);
  EXPECT_TRUE(copy->info().incomplete);
  EXPECT_EQ(check_pages(*copy), report.scan->ram_pages - 64 - 9);
}

TEST_F(Save, FreePagesStayWhenTheKernelCountsFewer) {
  make_machine();
  const VirtAddr node = machine_.alloc(4096, 4096);
  machine_.offset("pglist_data.node_zones", 0);
  machine_.offset("pglist_data.nr_zones", 2048);
  machine_.size("zone", 1728);
  machine_.offset("zone.vm_stat", 1536);
  machine_.number("NR_FREE_PAGES", 0);
  machine_.offset("zone.free_area", 256);
  machine_.size("free_area", 104);
  machine_.offset("free_area.free_list", 0);
  machine_.length("free_area.free_list", 6);
  machine_.offset("list_head.next", 0);
  machine_.offset("list_head.prev", 8);
  machine_.symbol("contig_page_data", node);
  machine_.put_u32(node + 2048, 1);
  machine_.put_u64(node + 1536, 3);
  // Far beyond what counters can drift.
  Pfn block = machine_.pfn_of({align_up(machine_.alloc_pages(3 * 256).value, 256 * 4096)});
  for (int i = 0; i < 2; ++i, block = block + 256) pages_->set(block, 8, Marked::buddy);
  write_input(machine_.elf());
  const CaptureReport report = save();
  EXPECT_EQ(report.status, CaptureStatus::partial);
  EXPECT_EQ(report.level_asked, 31u);
  EXPECT_EQ(report.level_used, 15u);
  EXPECT_EQ(report.free_check->result, FreeCheck::Result::more_found);
  const std::unique_ptr<Dump> copy = open_dump(options_.output);
  EXPECT_EQ(copy->state(free_), PageState::present);
  EXPECT_EQ(copy->state(cache_), PageState::excluded);
}

TEST_F(Save, AFullDiskLeavesAnIncompleteDumpUnderAnotherName) {
  make_machine();
  for (uint64_t i = 0; i < 600; ++i) fill(machine_.pfn_of(machine_.alloc_pages(1)));  // does not compress
  write_input(machine_.elf());
  options_.summary = dir_ / "summary.json";
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit full{1500 << 10, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &full), 0);
  const CaptureReport report = save();
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  EXPECT_EQ(report.status, CaptureStatus::partial);
  EXPECT_EQ(files(), (std::vector<std::string>{"in", "out.incomplete", "summary.json"}));
  EXPECT_EQ(report.outputs, std::vector<std::string>{(dir_ / "out.incomplete").string()});
  const std::unique_ptr<Dump> copy = open_dump(dir_ / "out.incomplete");
  EXPECT_TRUE(copy->info().incomplete);
  EXPECT_EQ(check_pages(*copy), report.pipeline->pages_written);
  EXPECT_GT(report.pipeline->pages_written, 0u);
  EXPECT_EQ(summary()["status"], "partial");
  EXPECT_EQ(summary()["output"]["file"], report.outputs.front());
}

// The log is on pages of its own at the end of the machine's memory; whatever else is cut, it is there.
TEST_F(Save, ALimitedDumpHasWhatIsMostUseful) {
  make_machine();
  for (uint64_t i = 0; i < 400; ++i) fill(machine_.pfn_of(machine_.alloc_pages(1)));
  write_input(machine_.elf());
  options_.codec = Codec::none;
  options_.threads = 1;  // several are at a few units at the same time
  options_.summary = dir_ / "summary.json";
  options_.max_size = 1 << 20;
  const CaptureReport report = save();
  EXPECT_EQ(report.status, CaptureStatus::partial);
  ASSERT_EQ(report.outputs.size(), 1u);
  EXPECT_EQ(report.outputs[0], options_.output.string() + ".incomplete");
  EXPECT_LE(std::filesystem::file_size(report.outputs[0]), options_.max_size);
  EXPECT_GT(std::filesystem::file_size(report.outputs[0]), options_.max_size - 4096);
  const std::unique_ptr<Dump> copy = open_dump(report.outputs[0]);
  EXPECT_TRUE(copy->info().incomplete);
  EXPECT_EQ(check_pages(*copy), report.pipeline->pages_written);
  EXPECT_LT(report.pipeline->pages_written, report.pages_to_write);
  KernelMemory memory(*copy);
  const KernelLog log = read_log(memory);
  EXPECT_EQ(log.records.size(), 2u);
  EXPECT_TRUE(log.problems.empty());
  uint64_t written = 0;
  bool cut = false;
  for (const PipelineResult::Group& group : report.pipeline->groups) {
    written += group.written;
    if (cut) {
      EXPECT_EQ(group.written, 0u) << group.name;
    }
    if (group.written < group.pages) cut = true;
    if (group.name == "log") {
      EXPECT_EQ(group.written, group.pages);
    }
  }
  EXPECT_TRUE(cut);
  // One sentence, the last: what run() notes of a target that has not all.
  for (const char* part : {"the dump is incomplete", "the largest size allowed is reached", "whole in it: "})
    EXPECT_NE(report.reasons.back().find(part), std::string::npos) << report.reasons.back();
  EXPECT_EQ(written, report.pipeline->pages_written);
  EXPECT_EQ(summary()["pages"]["order"].size(), report.pipeline->groups.size());
}

TEST_F(Save, TheNextLevelIsTriedWhenADumpDoesNotFit) {
  make_machine();
  write_input(machine_.elf());
  options_.codec = Codec::none;
  options_.level = 0;
  const uint64_t whole = save().output_bytes;
  std::filesystem::remove(options_.output);
  options_.max_size = whole - 4096;
  options_.level = 0;
  options_.fallback_levels = {0, 1, 31};
  const CaptureReport report = save();
  EXPECT_EQ(report.status, CaptureStatus::complete);
  EXPECT_EQ(report.level_asked, 0u);
  EXPECT_EQ(report.level_used, 31u);  // zero pages share one at any level: 1 is as large as 0
  EXPECT_TRUE(report.why_level.starts_with("level 0 does not fit: ")) << report.why_level;
  EXPECT_EQ(files(), (std::vector<std::string>{"in", "out"}));
  EXPECT_FALSE(open_dump(options_.output)->info().incomplete);
}

// Nothing that leaves out less is tried; what fits of the last level stays.
TEST_F(Save, WhenNoLevelFitsTheLastOneIsCut) {
  make_machine();
  for (uint64_t i = 0; i < 400; ++i) fill(machine_.pfn_of(machine_.alloc_pages(1)));
  write_input(machine_.elf());
  options_.codec = Codec::none;
  options_.max_size = 1 << 20;
  options_.level = 1;
  options_.fallback_levels = {31, 17};
  const CaptureReport report = save();
  EXPECT_EQ(report.status, CaptureStatus::partial);
  EXPECT_EQ(report.level_used, 31u);
  EXPECT_TRUE(std::ranges::any_of(report.notes, [](const std::string& note) {
    return note == "level 17 will not be tried: it leaves out no more than level 31";
  }));
  EXPECT_EQ(files(), (std::vector<std::string>{"in", "out.incomplete"}));
}

TEST_F(Save, WhenNothingFitsNothingStays) {
  make_machine();
  write_input(machine_.elf());
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit full{8 << 10, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &full), 0);
  EXPECT_THROW(save(), Error);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  EXPECT_EQ(files(), (std::vector<std::string>{"in"}));
}

TEST_F(Save, StoppedBeforeTheDumpLeavesNothing) {
  make_machine();
  write_input(machine_.elf());
  options_.summary = dir_ / "summary.json";
  stop_ = true;
  EXPECT_THROW(save(), Error);
  EXPECT_EQ(files(), (std::vector<std::string>{"in", "summary.json"}));
  EXPECT_EQ(summary()["status"], "failed");
}

TEST_F(Save, OutputNamesAreGuarded) {
  make_machine();
  write_input(machine_.elf());
  write_file_atomic(options_.output, as_bytes("precious"));
  EXPECT_THROW(save(), Error);
  EXPECT_EQ(read_text_file(options_.output), "precious");
  options_.force = true;
  EXPECT_EQ(save().status, CaptureStatus::complete);

  options_.output = options_.inputs[0];
  EXPECT_THROW(save(), Error);  // the input, even with force
  options_.output = dir_;
  EXPECT_THROW(save(), Error);  // a directory
  options_.output = dir_ / "absent" / "out";
  EXPECT_THROW(save(), Error);
}

// Every form in, every form out: nothing is lost on the way, and a further save filters further.
TEST_F(Save, EveryFormatIsReadAndWritten) {
  make_machine();
  write_input(machine_.elf());
  options_.level = level_zero;
  const auto save_as = [&](const char* name, OutputFormat format, size_t parts) {
    options_.output = dir_ / name;
    options_.format = format;
    options_.split.clear();
    for (size_t i = 0; parts > 1 && i < parts; ++i)
      options_.split.push_back(dir_ / (name + std::to_string(i)));
    const CaptureReport report = save();
    EXPECT_EQ(report.status, CaptureStatus::complete) << name;
    std::vector<std::filesystem::path> paths(report.outputs.begin(), report.outputs.end());
    uint64_t bytes = 0;
    for (const std::filesystem::path& path : paths) bytes += std::filesystem::file_size(path);
    EXPECT_EQ(report.output_bytes, bytes) << name;
    return paths;
  };
  const std::vector<std::vector<std::filesystem::path>> inputs{
      options_.inputs, save_as("kdump", OutputFormat::kdump, 1), save_as("flat", OutputFormat::flattened, 1),
      save_as("elf", OutputFormat::elf, 1), save_as("split", OutputFormat::kdump, 3)};
  options_.level = level_all;
  uint64_t ram_pages = 0;
  for (const PfnRange& range : machine_.ram()) ram_pages += range.count();
  int n = 0;
  for (const std::vector<std::filesystem::path>& input : inputs) {
    options_.inputs = input;
    for (const auto& [format, parts] :
         std::initializer_list<std::pair<OutputFormat, size_t>>{{OutputFormat::kdump, 1},
                                                                {OutputFormat::flattened, 1},
                                                                {OutputFormat::elf, 1},
                                                                {OutputFormat::kdump, 2}}) {
      const auto paths = save_as(("out" + std::to_string(n++)).c_str(), format, parts);
      const std::unique_ptr<Dump> copy = open_dump(paths);
      SCOPED_TRACE(input[0].string() + " to " + paths[0].string());
      EXPECT_FALSE(copy->info().incomplete) << copy->info().incomplete_reason;
      EXPECT_EQ(copy->info().flattened, format == OutputFormat::flattened);
      EXPECT_EQ(copy->info().format,
                format == OutputFormat::elf ? DumpFormat::elf : DumpFormat::kdump_compressed);
      EXPECT_EQ(copy->vmcoreinfo().text(), machine_.vmcoreinfo());
      EXPECT_EQ(check_pages(*copy), ram_pages - 9);
      EXPECT_EQ(copy->state(free_), PageState::excluded);
    }
  }
}

TEST_F(Save, CompressedPagesAreCopiedUnlessAnotherLevelIsAsked) {
  make_machine();
  write_input(machine_.kdump(Codec::zlib));
  options_.codec = Codec::zlib;
  options_.threads = 1;
  options_.level = 0;
  save();
  const auto stored = [&](const std::filesystem::path& path) {
    std::vector<std::vector<uint8_t>> blobs;
    const std::unique_ptr<Dump> dump = open_dump(path);
    const std::unique_ptr<PageReader> reader = dump->reader();
    for (const PfnRange& range : machine_.ram()) {
      for (Pfn pfn = range.begin; pfn < range.end; pfn = pfn + 1) {
        const PageView view = reader->page(pfn);
        if (view.codec == Codec::zlib) blobs.emplace_back(view.stored.begin(), view.stored.end());
      }
    }
    return blobs;
  };
  const auto before = stored(options_.inputs[0]);
  EXPECT_GT(before.size(), 5u);
  const auto after = stored(options_.output);
  // Zero pages are compressed in the input, and shared in the output.
  EXPECT_LE(after.size(), before.size());
  EXPECT_GT(after.size(), 5u);
  for (const std::vector<uint8_t>& blob : after) EXPECT_TRUE(std::ranges::count(before, blob) > 0);
  options_.codec_level = 9;
  options_.force = true;
  save();
  EXPECT_NE(stored(options_.output), after);
}

TEST_F(Save, ADryRunTellsTheSizeAndWritesNothing) {
  make_machine();
  write_input(machine_.elf());
  options_.threads = 1;
  for (OutputFormat format : {OutputFormat::kdump, OutputFormat::flattened, OutputFormat::elf}) {
    options_.format = format;
    options_.output = dir_ / to_string(format);
    options_.dry_run = true;
    const CaptureReport dry = save();
    EXPECT_EQ(dry.status, CaptureStatus::complete);
    EXPECT_TRUE(dry.outputs.empty() || format == OutputFormat::flattened);
    EXPECT_FALSE(std::filesystem::exists(options_.output));
    options_.dry_run = false;
    EXPECT_EQ(save().output_bytes, dry.output_bytes);
    EXPECT_EQ(std::filesystem::file_size(options_.output), dry.output_bytes);
  }
}

TEST_F(Save, AFullDiskLeavesEveryFormatSound) {
  make_machine();
  for (uint64_t i = 0; i < 600; ++i) fill(machine_.pfn_of(machine_.alloc_pages(1)));  // does not compress
  write_input(machine_.elf());
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  for (const auto& [format, parts] : std::initializer_list<std::pair<OutputFormat, int>>{
           {OutputFormat::flattened, 1}, {OutputFormat::elf, 1}, {OutputFormat::kdump, 2}}) {
    SCOPED_TRACE(to_string(format));
    options_.format = format;
    options_.output = dir_ / to_string(format);
    options_.split.clear();
    if (parts == 2) options_.split = {dir_ / "one", dir_ / "two"};
    // Zero pages have their place in an ELF file, so its first data is further behind.
    const rlim_t room = format == OutputFormat::elf ? 5 << 20 : 1500 << 10;
    const rlimit full{room, before.rlim_max};
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &full), 0);
    const CaptureReport report = save();
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
    EXPECT_EQ(report.status, CaptureStatus::partial);
    const std::unique_ptr<Dump> copy = open_dump({report.outputs.begin(), report.outputs.end()});
    EXPECT_TRUE(copy->info().incomplete);
    // Of a batch on the boundary of two files, the first may have its part when the second one fails: these
    // pages are there, and not counted.
    if (parts == 2) {
      EXPECT_GE(check_pages(*copy), report.pipeline->pages_written);
    } else {
      EXPECT_EQ(check_pages(*copy), report.pipeline->pages_written);
    }
    EXPECT_GT(report.pipeline->pages_written, 0u);
    for (const std::string& name : report.outputs) EXPECT_TRUE(name.ends_with(".incomplete")) << name;
    if (format == OutputFormat::flattened) {  // ended, although there was no room for its last record
      EXPECT_NE(copy->info().incomplete_reason.find("INCOMPLETE"), std::string::npos);
    }
  }
}

TEST_F(Save, AnEarlierIncompleteDumpIsNotOverwritten) {
  EXPECT_EQ(incomplete_name(dir_ / "out"), dir_ / "out.incomplete");
  write_file_atomic(dir_ / "out.incomplete", as_bytes("x"));
  EXPECT_NE(incomplete_name(dir_ / "out"), dir_ / "out.incomplete");
}

}  // namespace
}  // namespace kdk
