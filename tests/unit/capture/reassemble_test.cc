// Streams and split sets of synthetic machines, joined into one file.
#include "capture/output/reassemble.h"

#include <gtest/gtest.h>

#include <functional>

#include "core/base/file.h"
#include "core/formats/dump.h"
#include "tests/unit/capture/save_fixture.h"

namespace kdk {
namespace {

using Marked = test::PageClass;

class Reassemble : public test::Save {
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

}  // namespace
}  // namespace kdk
