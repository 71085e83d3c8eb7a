// Whole captures of synthetic machines, and everything that can go wrong with them.
#include "capture/save.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <csignal>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>

#include "capture/output/reassemble.h"
#include "core/base/file.h"
#include "core/formats/dump.h"
#include "tests/support/log_builder.h"
#include "tests/support/page_builder.h"

namespace kdk {
namespace {

using test::DumpBuilder;
using test::PageBuilder;
using Marked = test::PageClass;

class Save : public testing::Test {
 protected:
  Save() {
    std::string name = std::filesystem::temp_directory_path() / "kdk_save_XXXXXX";
    dir_ = ::mkdtemp(name.data());
    options_.output = dir_ / "out";
    options_.progress = ProgressMode::none;
    options_.threads = 2;
  }
  ~Save() override { std::filesystem::remove_all(dir_); }

  // A small machine with a log and two blocks that can go.
  void make_machine() {
    pages_ = std::make_unique<PageBuilder>(machine_);
    test::LogLine boot, panic;
    boot.text = "Booting";
    panic.text = "Kernel panic - not syncing: test";
    put_printk_ring(machine_, {boot, panic});
    free_ = machine_.pfn_of({align_up(machine_.alloc_pages(24).value, 8 * 4096)});
    cache_ = free_ + 8;
    pages_->set(free_, 3, Marked::buddy);
    pages_->set(cache_, 0, Marked::cache);
    for (uint64_t i = 0; i < 16; ++i) fill(free_ + i);
  }
  void fill(Pfn pfn) {
    std::vector<uint8_t> bytes(4096);
    uint64_t x = pfn.value;
    for (uint8_t& b : bytes)
      b = static_cast<uint8_t>((x = x * 6364136223846793005u + 1442695040888963407u) >> 56);
    machine_.put_phys({pfn.value * 4096}, bytes);
  }
  void write_input(const std::vector<uint8_t>& bytes, const char* name = "in") {
    options_.inputs = {dir_ / name};
    write_file_atomic(options_.inputs[0], bytes);
  }
  CaptureReport save() { return save_dump(options_, stop_); }
  nlohmann::json summary() {
    std::ifstream file(*options_.summary);
    return nlohmann::json::parse(file);
  }
  std::vector<std::string> files() {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(dir_))
      names.push_back(entry.path().filename());
    std::ranges::sort(names);
    return names;
  }
  // Every page of `copy` that is present equals the machine's; returns how many there are.
  uint64_t check_pages(const Dump& copy) {
    const std::unique_ptr<PageReader> reader = copy.reader();
    uint64_t present = 0;
    for (const PfnRange& range : machine_.ram()) {
      for (Pfn pfn = range.begin; pfn < range.end; pfn = pfn + 1) {
        const PageView view = reader->page(pfn);
        if (view.state != PageState::present) continue;
        ++present;
        if (!std::ranges::equal(view.bytes, machine_.page(pfn))) ADD_FAILURE() << "pfn " << pfn.value;
      }
    }
    return present;
  }

  std::filesystem::path dir_;
  SaveOptions options_;
  std::atomic<bool> stop_ = false;
  DumpBuilder machine_;
  std::unique_ptr<PageBuilder> pages_;
  Pfn free_, cache_;
};

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
    EXPECT_EQ(check_pages(*copy), report.pipeline->pages_written);
    EXPECT_GT(report.pipeline->pages_written, 0u);
    for (const std::string& name : report.outputs) EXPECT_TRUE(name.ends_with(".incomplete")) << name;
    if (format == OutputFormat::flattened) {  // ended, although there was no room for its last record
      EXPECT_NE(copy->info().incomplete_reason.find("INCOMPLETE"), std::string::npos);
    }
  }
}

class Reassemble : public Save {
 protected:
  // A filtered dump of the machine as a plain file and in the form to be joined.
  void make(OutputFormat format, size_t parts) {
    make_machine();
    prepare_();
    write_input(machine_.elf());
    options_.threads = 1;
    options_.output = plain_ = dir_ / "plain";
    save();
    options_.format = format;
    options_.output = dir_ / "form";
    for (size_t i = 0; parts > 1 && i < parts; ++i)
      options_.split.push_back(dir_ / ("part" + std::to_string(i)));
    const CaptureReport report = save();
    form_.inputs.assign(report.outputs.begin(), report.outputs.end());
    form_.output = dir_ / "joined";
  }
  std::function<void()> prepare_ = [] {};  // what else the machine has
  std::filesystem::path plain_;
  ReassembleOptions form_;
};

TEST_F(Reassemble, AStreamBecomesTheSameFile) {
  make(OutputFormat::flattened, 1);
  const Reassembled done = reassemble(form_, stop_);
  EXPECT_TRUE(done.reasons.empty());
  EXPECT_TRUE(read_file(done.output) == read_file(plain_));
  EXPECT_EQ(done.bytes, std::filesystem::file_size(plain_));
  EXPECT_THROW(reassemble(form_, stop_), Error);  // exists
  form_.force = true;
  EXPECT_TRUE(reassemble(form_, stop_).reasons.empty());
}

TEST_F(Reassemble, ACutStreamIsMarked) {
  make(OutputFormat::flattened, 1);
  std::filesystem::resize_file(form_.inputs[0], std::filesystem::file_size(form_.inputs[0]) - 30);
  const Reassembled done = reassemble(form_, stop_);
  EXPECT_FALSE(done.reasons.empty());
  EXPECT_NE(open_dump(done.output)->info().incomplete_reason.find("INCOMPLETE"), std::string::npos);
  std::filesystem::resize_file(form_.inputs[0], 5000);  // not even headers
  form_.force = true;
  EXPECT_THROW(reassemble(form_, stop_), Error);
  for (const std::string& name : files()) EXPECT_EQ(name.find("partial"), std::string::npos) << name;
}

TEST_F(Reassemble, ASplitSetBecomesOneFileInItsOwnCompression) {
  options_.codec = Codec::lzo;
  make(OutputFormat::kdump, 3);
  std::swap(form_.inputs[0], form_.inputs[2]);
  const Reassembled done = reassemble(form_, stop_);
  EXPECT_TRUE(done.reasons.empty());
  const std::unique_ptr<Dump> joined = open_dump(done.output);
  EXPECT_FALSE(joined->info().incomplete);
  EXPECT_EQ(joined->info().dump_level, 31);
  EXPECT_EQ(check_pages(*joined), check_pages(*open_dump(plain_)));
  EXPECT_EQ(std::filesystem::file_size(done.output), std::filesystem::file_size(plain_));
}

// Slab pages come before those of the page cache, which lie before them in memory.
TEST_F(Reassemble, AJoinedFileHasWhatIsMostUsefulFirst) {
  options_.level = level_zero;
  Pfn cache, slab;
  prepare_ = [&] {
    cache = machine_.pfn_of({align_up(machine_.alloc_pages(320).value, 64 * 4096)});
    slab = cache + 128;
    for (uint64_t i = 0; i < 128; ++i) {
      pages_->set(cache + i, 0, Marked::cache);
      pages_->set(slab + i, 0, Marked::slab);
    }
    for (uint64_t i = 0; i < 256; ++i) fill(cache + i);
  };
  make(OutputFormat::kdump, 3);
  form_.threads = 1;  // several are at a few units at the same time
  const std::string joined = reassemble(form_, stop_).output;
  std::filesystem::resize_file(joined, std::filesystem::file_size(joined) - 100 * 4096);
  const std::unique_ptr<Dump> cut = open_dump(joined);
  const std::unique_ptr<PageReader> reader = cut->reader();
  uint64_t lost = 0;
  for (uint64_t i = 0; i < 128; ++i) {
    EXPECT_EQ(reader->page(slab + i).state, PageState::present) << i;
    lost += reader->page(cache + i).state != PageState::present;
  }
  EXPECT_GE(lost, 100u);
}

TEST_F(Reassemble, AMissingPartIsSaid) {
  make(OutputFormat::kdump, 3);
  form_.inputs.pop_back();
  const Reassembled done = reassemble(form_, stop_);
  EXPECT_FALSE(done.reasons.empty());
  EXPECT_TRUE(open_dump(done.output)->info().incomplete);
}

TEST_F(Reassemble, RefusesWhatIsWhole) {
  make(OutputFormat::kdump, 1);
  EXPECT_THROW(reassemble(form_, stop_), Error);
  form_.inputs = {dir_ / "absent"};
  EXPECT_THROW(reassemble(form_, stop_), Error);
  EXPECT_FALSE(std::filesystem::exists(form_.output));
}

TEST_F(Save, AnEarlierIncompleteDumpIsNotOverwritten) {
  EXPECT_EQ(incomplete_name(dir_ / "out"), dir_ / "out.incomplete");
  write_file_atomic(dir_ / "out.incomplete", as_bytes("x"));
  EXPECT_NE(incomplete_name(dir_ / "out"), dir_ / "out.incomplete");
}

}  // namespace
}  // namespace kdk
