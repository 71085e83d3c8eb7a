// A crash whose dump names no tables to unwind by, walked with those of its vmlinux.
#include "analyze/unwind/vmlinux_aids.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "core/diagnose/crash.h"
#include "tests/support/crash_scene.h"
#include "tests/support/scene_arch.h"
#include "tests/unit/analyze/elf_builder.h"
#include "tests/unit/analyze/frame_section.h"

namespace kdk {
namespace {

using test::Code;

class VmlinuxOfX86 : public testing::Test {
 protected:
  VmlinuxOfX86() : scene({.machine = {.x86_64 = test::X86_64Options{}}, .data_symbols = false}) {
    path = std::filesystem::path(testing::TempDir()) / ("kdk-aids-" + std::to_string(getpid()));
  }
  ~VmlinuxOfX86() override { std::filesystem::remove(path); }

  uint64_t linked(uint64_t address) const { return address - scene.machine->options().kaslr; }

  // Rows in no order, as kernels have them that sort at boot: the last function first. __crash_kexec() has an
  // empty one, as in Debian's kernels.
  void write_vmlinux(bool with_frames, size_t missing_bytes = 0) {
    static constexpr std::array<uint8_t, 20> format = {0xfe, 0x5d, 0x32, 0xbf, 0x58, 0x1b, 0xd6,
                                                       0x3b, 0x2c, 0xa9, 0xa5, 0xc6, 0x5b, 0xa5,
                                                       0xa6, 0x25, 0xea, 0xb3, 0xfe, 0x24};
    const std::vector<std::string> names = test::x86_64_scene().functions();
    const uint64_t stext = linked(scene.machine->stext().value), first = stext + 0x1000,
                   table = stext + 0x100000;
    Code ips, rows;
    for (size_t i = names.size() + 1; i-- > 0;) {
      const uint64_t begin = first + i * test::SceneArch::function_size;
      test::append_value(ips, ul32(static_cast<uint32_t>(begin - (table + ips.size()))));
      const bool empty = i == names.size() || names[i] == "__crash_kexec";
      const bool entry = i < names.size() && names[i].starts_with("entry_");
      test::append_value(rows, ul16(static_cast<uint16_t>(empty || entry ? 0 : 24)));
      test::append_value(rows, ul16(0));
      test::append_value(rows, ul16(static_cast<uint16_t>(empty ? 0 : entry ? 0xb05 : 0x205)));
    }
    ips.resize(ips.size() - missing_bytes);
    test::ElfBuilder elf(62);  // EM_X86_64
    uint16_t text = elf.section({.name = ".text", .flags = 6, .address = stext, .bytes = Code(16)});
    elf.symbol("_stext", stext, 0, 0x10, text);
    elf.build_id(scene.machine->options().build_id, stext + 0x200000);
    elf.section({.name = ".orc_unwind_ip", .flags = 2, .address = table, .bytes = ips});
    elf.section({.name = ".orc_unwind", .flags = 2, .address = table + 0x1000, .bytes = rows});
    elf.section(
        {.name = ".orc_header", .flags = 2, .address = table - 20, .bytes = {format.begin(), format.end()}});
    if (with_frames) {
      test::FrameSection frames;
      frames.fde(frames.cie("", 16, {DW_CFA_def_cfa, 7, 24, DW_CFA_offset | 16, 1}), first, 0x100, {});
      elf.section({.name = ".debug_frame", .bytes = frames.bytes()});
    }
    test::write_bytes(path, elf.bytes());
  }

  Backtrace trace(bool with_vmlinux, std::string* problem = nullptr) {
    std::unique_ptr<Dump> dump = scene.machine->open();
    Kernel kernel(*dump);
    std::unique_ptr<DebugInfo> info;
    std::unique_ptr<VmlinuxAids> aids;
    if (with_vmlinux) {
      info = DebugInfo::open(path);
      EXPECT_EQ(info->require_match(kernel), "build-id");
      aids = std::make_unique<VmlinuxAids>(info.get());
      if (problem) *problem = aids->orc_problem();
    }
    Crash crash = diagnose(kernel, read_log(kernel.memory()), aids ? aids->aids() : UnwindAids{});
    const CpuState* cpu = crashing_cpu(crash);
    return cpu ? cpu->backtrace : Backtrace{};
  }
  static std::vector<std::string> told(const Backtrace& trace) {
    std::vector<std::string> out;
    for (const Frame& frame : trace.frames)
      out.push_back(frame.symbol + " " + std::string(to_string(frame.trust)));
    return out;
  }

  test::Scene scene;
  std::filesystem::path path;
};

const std::vector<std::string> whole = {"__crash_kexec registers",
                                        "panic cfi",
                                        "sysrq_handle_crash orc",
                                        "__handle_sysrq orc",
                                        "vfs_write orc",
                                        "do_syscall_64 orc",
                                        "entry_SYSCALL_64_after_hwframe orc"};

TEST_F(VmlinuxOfX86, OrcAndFramesMakeTheTraceExact) {
  write_vmlinux(true);
  Backtrace with = trace(true);
  EXPECT_EQ(told(with), whole);
  EXPECT_TRUE(with.complete);
  EXPECT_EQ(with.end, "user mode");
}

TEST_F(VmlinuxOfX86, WithoutThemItIsNot) {
  for (bool with_vmlinux : {false, true}) {
    if (with_vmlinux) write_vmlinux(false);
    std::vector<std::string> without = told(trace(with_vmlinux));
    ASSERT_FALSE(without.empty());
    EXPECT_NE(without, whole);
    EXPECT_EQ(without[0], "__crash_kexec registers");
  }
}

TEST_F(VmlinuxOfX86, SectionsThatDoNotFitAreRefusedWithAReason) {
  write_vmlinux(true, 4);
  std::string problem;
  EXPECT_NE(told(trace(true, &problem)), whole);
  EXPECT_NE(problem.find("do not fit together"), std::string::npos) << problem;
}

}  // namespace
}  // namespace kdk
