// estimate against real captures of the same synthetic machine.
#include "capture/estimate.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "capture/save.h"
#include "core/base/file.h"
#include "tests/support/page_builder.h"

namespace kdk {
namespace {

using test::DumpBuilder;
using test::PageBuilder;
using Marked = test::PageClass;

class EstimateTest : public testing::Test {
 protected:
  EstimateTest() {
    std::string name = std::filesystem::temp_directory_path() / "kdk_estimate_XXXXXX";
    dir_ = ::mkdtemp(name.data());
    PageBuilder pages(machine_);
    const Pfn first = machine_.pfn_of({align_up(machine_.alloc_pages(600).value, 8 * 4096)});
    pages.set(first, 3, Marked::buddy);
    for (uint64_t i = 8; i < 300; ++i) pages.set(first + i, 0, Marked::cache);
    for (uint64_t i = 0; i < 592; ++i) fill(first + i);
    options_.inputs = {dir_ / "in"};
    write_file_atomic(options_.inputs[0], machine_.elf());
  }
  ~EstimateTest() override { std::filesystem::remove_all(dir_); }

  // Half of it compresses well.
  void fill(Pfn pfn) {
    std::vector<uint8_t> bytes(4096, static_cast<uint8_t>(pfn.value));
    uint64_t x = pfn.value;
    for (size_t i = 0; i < 2048; ++i)
      bytes[i] = static_cast<uint8_t>((x = x * 6364136223846793005u + 1442695040888963407u) >> 56);
    machine_.put_phys({pfn.value * 4096}, bytes);
  }
  uint64_t real_size(unsigned level, Codec codec) {
    SaveOptions save;
    save.inputs = options_.inputs;
    save.output = dir_ / "out";
    save.level = level;
    save.codec = codec;
    save.threads = 1;
    save.force = true;
    save.progress = ProgressMode::none;
    return save_dump(save, stop_).output_bytes;
  }

  std::filesystem::path dir_;
  DumpBuilder machine_;
  EstimateOptions options_;
  std::atomic<bool> stop_ = false;
};

TEST_F(EstimateTest, SizesAreThoseOfRealDumps) {
  options_.levels = {1, 31};
  for (const uint64_t sample : {uint64_t{1000000}, uint64_t{100}}) {
    options_.sample_pages = sample;
    const Estimate estimate = estimate_dump(options_, stop_);
    ASSERT_EQ(estimate.levels.size(), 2u);
    EXPECT_EQ(estimate.classes[static_cast<size_t>(PageClass::free)].found, 8u);
    EXPECT_EQ(estimate.classes[static_cast<size_t>(PageClass::cache)].found, 292u);
    EXPECT_EQ(estimate.levels[0].pages - estimate.levels[1].pages, 300u);
    for (const Estimate::Level& level : estimate.levels) {
      EXPECT_LE(level.sampled, level.pages);
      for (const Estimate::CodecSize& codec : level.codecs) {
        const auto real = static_cast<double>(real_size(level.level, codec.codec));
        // Everything sampled: to the byte, but for rounding. A few hundred pages: what lies close is alike.
        const double tolerance = level.sampled == level.pages ? 4096 : real / 3;
        EXPECT_NEAR(static_cast<double>(codec.bytes), real, tolerance)
            << level.level << " " << to_string(codec.codec);
      }
    }
  }
}

TEST_F(EstimateTest, TargetsAreComparedWithTheirRoom) {
  // Devices are below /dev; a file there stands in for one.
  const std::filesystem::path disk = fmt::format("/dev/shm/{}", dir_.filename().string());
  write_file_atomic(disk, std::vector<uint8_t>(4096));
  write_file_atomic(dir_ / "config.toml", as_bytes(fmt::format(R"(
[capture]
level = 1
compress = "none"
[[target]]
kind = "directory"
path = "{0}/not/yet/there"
[[target]]
kind = "raw"
device = "{1}"
[[target]]
kind = "ssh"
server = "crash@example.org"
path = "/srv"
)",
                                                               dir_.string(), disk.string())));
  options_.config = dir_ / "config.toml";
  options_.levels = {31};
  const Estimate estimate = estimate_dump(options_, stop_);
  std::filesystem::remove(disk);
  ASSERT_EQ(estimate.levels.size(), 2u);  // the configuration's, too
  ASSERT_EQ(estimate.targets.size(), 3u);
  EXPECT_EQ(estimate.targets[0].needed, estimate.levels[0].codecs.back().bytes);
  EXPECT_EQ(estimate.targets[0].fits(), true) << estimate.targets[0].room.why_unknown;
  EXPECT_EQ(estimate.targets[1].room.available, 4096u) << estimate.targets[1].room.why_unknown;
  EXPECT_EQ(estimate.targets[1].fits(), false);
  EXPECT_EQ(estimate.targets[2].fits(), std::nullopt);
  EXPECT_FALSE(estimate.targets[2].room.why_unknown.empty());
  const auto json = nlohmann::json::parse(estimate_json(estimate));
  EXPECT_EQ(json["targets"][1]["fits"], false);
  EXPECT_TRUE(json["targets"][2]["available_bytes"].is_null());
  EXPECT_NE(estimate_text(estimate).find("DOES NOT FIT"), std::string::npos);
}

TEST_F(EstimateTest, MemoryOfTheCrashKernelIsNotCounted) {
  const Estimate all = estimate_dump(options_, stop_);
  const uint64_t start = machine_.ram().front().begin.value * 4096;
  write_file_atomic(dir_ / "iomem",
                    as_bytes(fmt::format("{:08x}-{:08x} : System RAM\n  {:08x}-{:08x} : Crash kernel\n",
                                         start, start + 0xfffff, start, start + 0xffff)));
  options_.iomem = dir_ / "iomem";
  const Estimate less = estimate_dump(options_, stop_);
  EXPECT_EQ(less.reserved_pages, 16u);
  EXPECT_EQ(less.ram_pages, all.ram_pages - 16);
  EXPECT_EQ(less.levels[0].pages, all.levels[0].pages - 16);
}

TEST(CrashKernelRanges, TakesOnlyWhatItUnderstands) {
  const std::string text =
      "40000000-7fffffff : System RAM\n  7ac00000-7fffffff : Crash kernel\n"
      "  00000000-00000000 : Crash kernel\n  x-y : Crash kernel\n  1000 : Crash kernel\n  1000-\n : Crash "
      "kernel";
  EXPECT_EQ(crash_kernel_ranges(text, 4096), (std::vector<PfnRange>{{{0x7ac00}, {0x80000}}}));
  EXPECT_TRUE(crash_kernel_ranges("", 4096).empty());
}

}  // namespace
}  // namespace kdk
