#include "analyze/unwind/annotate.h"

#include <gtest/gtest.h>

#include "analyze/symbols/vmlinux.h"

namespace kdk {
namespace {

class Annotate : public testing::Test {
 protected:
  Annotate()
      : path_(std::filesystem::path(KDK_FIXTURE_DIR) / "dwarf5_fixture"), info_(DebugInfo::open(path_)) {
    VmlinuxFile file(path_);
    plain_ = *file.find_symbol("plain");
  }
  Frame frame(uint64_t pc, bool is_return_address, bool in_image = true) const {
    Frame out;
    out.pc = pc;
    out.pc_is_return_address = is_return_address;
    if (in_image) out.image_offset = 0x1000;
    return out;
  }
  unsigned line_of(Frame frame) {
    Backtrace trace;
    trace.frames.push_back(std::move(frame));
    annotate(trace, {.vmlinux = info_.get()});
    return trace.frames[0].line;
  }

  std::filesystem::path path_;
  std::unique_ptr<DebugInfo> info_;
  VmlinuxFile::Symbol plain_;
};

TEST_F(Annotate, TheByteBeforeAReturnAddressCounts) {
  uint64_t end = plain_.address + plain_.size;
  EXPECT_GE(line_of(frame(end, true)), 18u);
  EXPECT_LE(line_of(frame(end, true)), 19u);
  // Without that the line would be that of whatever follows the function.
  EXPECT_NE(line_of(frame(end, false)), line_of(frame(end, true)));
}

TEST_F(Annotate, FramesOutsideTheImageAreLeftAlone) {
  EXPECT_EQ(line_of(frame(plain_.address, false, false)), 0u);
  Frame module = frame(plain_.address, false);
  module.module = "some_module";
  EXPECT_EQ(line_of(module), 0u);
  EXPECT_NE(line_of(frame(plain_.address, false)), 0u);
}

TEST_F(Annotate, EveryCpuOfACrash) {
  Crash crash;
  crash.cpus.resize(2);
  for (CpuState& cpu : crash.cpus) cpu.backtrace.frames.push_back(frame(plain_.address, false));
  annotate(crash, {.vmlinux = info_.get()});
  for (const CpuState& cpu : crash.cpus) {
    EXPECT_TRUE(cpu.backtrace.frames[0].file.ends_with("dwarf_fixture.c"));
    EXPECT_GE(cpu.backtrace.frames[0].line, 17u);
  }
}

}  // namespace
}  // namespace kdk
