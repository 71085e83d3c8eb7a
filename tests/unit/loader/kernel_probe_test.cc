// What the kernel's own loaders look at before they take a file (image_probe, image_load; bzImage64_probe,
// bzImage64_load): whatever they refuse is refused here first, since by then the kernel has freed the crash
// kernel loaded before. Every bit of the headers is turned in turn.
#include <gtest/gtest.h>

#include <set>

#include "core/base/error.h"
#include "loader/plan/plan.h"
#include "tests/support/fake_machine.h"
#include "tests/unit/loader/plan_helpers.h"

namespace kdk {
namespace {

using testing::FakeBzImage;
using testing::FakeImage;
using testing::FakeMachine;

Machine machine_of(const FakeMachine& fake) {
  testing::TempDir dir;
  fake.write(dir.path());
  return read_machine(SysRoot(dir.path()));
}

enum class Verdict { refused, warned, taken };

// By kexec_file_load, with a command line of `line_size` characters.
Verdict judge(const Machine& machine, std::vector<uint8_t> kernel, size_t line_size = 10) {
  LoadInputs inputs;
  inputs.kernel = {"/boot/kernel", std::move(kernel)};
  inputs.command_line = {"panic=10" + std::string(line_size - 8, ' '), "", false};
  inputs.call = LoadCall::kexec_file_load;
  try {
    LoadPlan plan = make_plan(machine, std::move(inputs));
    if (!plan.good()) return Verdict::refused;
    bool warned = std::any_of(plan.checks.begin(), plan.checks.end(), [](const Check& check) {
      return check.status == Check::Status::warning && check.name != "initrd_unpacks";
    });
    return warned ? Verdict::warned : Verdict::taken;
  } catch (const Error&) {
    return Verdict::refused;
  }
}

template <typename T>
T field(Bytes file, uint64_t at) {
  return load<FixedEndian<T, std::endian::little>>(file, at).value();
}

std::vector<uint8_t> with_bit_turned(std::vector<uint8_t> file, uint64_t at, unsigned bit) {
  file[at] ^= static_cast<uint8_t>(1u << bit);
  return file;
}

// ---- x86-64: arch/x86/kernel/kexec-bzimage64.c

constexpr uint64_t x86_header_at = 0x1f1, x86_header_end = 0x268;

// `line_size` without the NUL, which the kernel counts.
bool x86_kernel_takes(Bytes file, bool five_level, bool efi_32bit, uint64_t line_size) {
  constexpr uint64_t two_sectors = 1024, elfcorehdr_option = 30;
  if (file.size() < two_sectors || as_text(file.subspan(0x202, 4)) != "HdrS") return false;
  if (field<uint16_t>(file, 0x1fe) != 0xaa55 || field<uint16_t>(file, 0x206) < 0x020c) return false;
  const uint16_t flags = field<uint16_t>(file, 0x236);
  const bool loaded_high = (file[0x211] & 1) != 0, kernel_64 = (flags & 1) != 0, above_4g = (flags & 2) != 0;
  if (!loaded_high || !kernel_64 || !above_4g || efi_32bit || (five_level && (flags & 0x20) == 0))
    return false;
  const uint64_t sectors = file[0x1f1] == 0 ? 4 : file[0x1f1];
  return file.size() >= (sectors + 1) * 512 &&
         line_size + 1 + elfcorehdr_option <= field<uint32_t>(file, 0x238);
}

FakeMachine five_level_machine() {
  FakeMachine fake = FakeMachine::x86_64();
  fake.vmcoreinfo.replace(fake.vmcoreinfo.find("enabled)=0"), 10, "enabled)=1");
  return fake;
}

TEST(KernelProbe, X86RefusesNothingThatWasTakenHere) {
  const std::vector<uint8_t> whole = FakeBzImage().bytes();
  std::set<uint64_t> stricter;  // offsets where a turned bit is refused here and not by the kernel
  for (bool five_level : {false, true}) {
    const Machine machine = machine_of(five_level ? five_level_machine() : FakeMachine::x86_64());
    ASSERT_EQ(judge(machine, whole), Verdict::taken);
    for (uint64_t at = x86_header_at; at < x86_header_end; ++at) {
      for (unsigned bit = 0; bit < 8; ++bit) {
        const std::vector<uint8_t> file = with_bit_turned(whole, at, bit);
        const bool taken = x86_kernel_takes(file, five_level, false, 10);
        if (judge(machine, file) == Verdict::refused) {
          if (taken) stricter.insert(at);
        } else {
          EXPECT_TRUE(taken) << "offset " << std::hex << at << " bit " << bit;
        }
      }
    }
  }
  // setup_sects, syssize, kernel_version; kernel_alignment, relocatable_kernel; cmdline_size; payload;
  // pref_address (above the region), init_size: the kernel would take them and not start, or lose the crashed
  // kernel's memory.
  for (uint64_t at : stricter) {
    const bool known = at == 0x1f1 || (at >= 0x1f4 && at < 0x1f8) || at == 0x20e || at == 0x20f ||
                       (at >= 0x230 && at < 0x235) || (at >= 0x238 && at < 0x23c) ||
                       (at >= 0x248 && at < 0x250) || (at >= 0x258 && at < 0x264);
    EXPECT_TRUE(known) << "refused for offset " << std::hex << at << " though the kernel takes it";
  }
}

TEST(KernelProbe, X86EveryCondition) {
  const Machine machine = machine_of(FakeMachine::x86_64());
  const std::vector<uint8_t> whole = FakeBzImage().bytes();
  // Shorter than two sectors, than the setup code.
  for (size_t size : {0, 511, 512, 0x268, 1023, 1024, 2047}) {
    EXPECT_EQ(judge(machine, {whole.begin(), whole.begin() + static_cast<ptrdiff_t>(size)}), Verdict::refused)
        << size;
  }
  auto refused = [&](auto&& change) {
    FakeBzImage fake;
    change(fake);
    EXPECT_FALSE(x86_kernel_takes(fake.bytes(), false, false, 10));
    EXPECT_EQ(judge(machine, fake.bytes()), Verdict::refused);
  };
  refused([](FakeBzImage& fake) { fake.boot_flag = 0xaa54; });
  refused([](FakeBzImage& fake) { fake.protocol = 0x020b; });
  refused([](FakeBzImage& fake) { fake.loadflags = 0; });
  refused([](FakeBzImage& fake) { fake.xloadflags &= 0xfffe; });
  refused([](FakeBzImage& fake) { fake.xloadflags &= 0xfffd; });
  FakeBzImage no_five_levels;
  no_five_levels.xloadflags &= 0xffdf;
  EXPECT_EQ(judge(machine, no_five_levels.bytes()), Verdict::taken);
  EXPECT_EQ(judge(machine_of(five_level_machine()), no_five_levels.bytes()), Verdict::refused);
  FakeMachine mixed_mode = FakeMachine::x86_64();
  mixed_mode.firmware_bits = "32\n";
  EXPECT_EQ(judge(machine_of(mixed_mode), whole), Verdict::refused);
  // The longest command line, to the character.
  EXPECT_TRUE(x86_kernel_takes(whole, false, false, 2016));
  EXPECT_EQ(judge(machine, whole, 2016), Verdict::taken);
  EXPECT_FALSE(x86_kernel_takes(whole, false, false, 2017));
  EXPECT_EQ(judge(machine, whole, 2017), Verdict::refused);
}

// ---- arm64: arch/arm64/kernel/kexec_image.c

constexpr uint64_t arm64_header_size = 64;

// On a CPU that has nothing but the running kernel's byte order and page size. A kernel file that it takes
// there it takes everywhere; others it may.
bool arm64_kernel_takes(Bytes file, uint64_t running_page_size) {
  if (file.size() < arm64_header_size || as_text(file.subspan(56, 4)) != "ARM\x64") return false;
  const uint64_t image_size = field<uint64_t>(file, 16), flags = field<uint64_t>(file, 24);
  const uint64_t page_code = (flags >> 1) & 3;
  const bool big_endian = (flags & 1) != 0;
  if (image_size == 0 || big_endian) return false;
  return page_code == 0 || uint64_t{1024} << (2 * page_code) == running_page_size;
}

TEST(KernelProbe, Arm64RefusesNothingThatWasTakenHere) {
  FakeMachine fake;
  fake.config = "CONFIG_KEXEC=y\nCONFIG_KEXEC_FILE=y\n";
  const Machine machine = machine_of(fake);
  const std::vector<uint8_t> whole = FakeImage().bytes();
  ASSERT_EQ(judge(machine, whole), Verdict::taken);
  for (uint64_t at = 0; at < arm64_header_size; ++at) {
    for (unsigned bit = 0; bit < 8; ++bit) {
      const std::vector<uint8_t> file = with_bit_turned(whole, at, bit);
      if (judge(machine, file) == Verdict::taken) {
        EXPECT_TRUE(arm64_kernel_takes(file, *machine.page_size)) << "offset " << at << " bit " << bit;
      }
    }
  }
}

TEST(KernelProbe, Arm64EveryCondition) {
  FakeMachine fake;
  fake.config = "CONFIG_KEXEC=y\nCONFIG_KEXEC_FILE=y\n";
  const Machine machine = machine_of(fake);
  FakeImage image;
  const std::vector<uint8_t> whole = image.bytes();
  EXPECT_EQ(judge(machine, {whole.begin(), whole.begin() + arm64_header_size - 1}), Verdict::refused);
  std::vector<uint8_t> unmarked = whole;
  unmarked[56] = 'a';
  EXPECT_EQ(judge(machine, unmarked), Verdict::refused);
  image.image_size = 0;
  EXPECT_EQ(judge(machine, image.bytes()), Verdict::refused);
  // A CPU of mixed byte order takes it; a crash kernel that cannot read what this kernel leaves is none.
  image = {};
  image.flags |= 1;
  EXPECT_EQ(judge(machine, image.bytes()), Verdict::refused);
  // Page sizes: like the running kernel, not said, and those that the CPU may have.
  for (auto [flags, verdict] : {std::pair<uint64_t, Verdict>{0xa, Verdict::taken},
                                {0x8, Verdict::taken},
                                {0xc, Verdict::warned},
                                {0xe, Verdict::warned}}) {
    image = {};
    image.flags = flags;
    EXPECT_EQ(judge(machine, image.bytes()), verdict) << flags;
  }
  // The kernel copies the file into what the header asks for: kernel/kexec_core.c, sanity_check_segment_list.
  image = {};
  image.image_size = image.file_size - 1;
  EXPECT_EQ(judge(machine, image.bytes()), Verdict::refused);
}

}  // namespace
}  // namespace kdk
