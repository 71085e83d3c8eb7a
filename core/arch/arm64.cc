// arm64: registers, their roles and where the kernel saves them. Page tables are in arm64_translate.cc.
// Source: arch/arm64/include/uapi/asm/ptrace.h (struct user_pt_regs), include/linux/elfcore.h (struct
// elf_prstatus).
#include "core/arch/arch.h"
#include "core/arch/arm64_translate.h"

namespace kdk {
namespace {

constexpr size_t x29 = 29, x30 = 30, sp = 31, pc = 32, pstate = 33, register_count = 34;
constexpr std::array<std::string_view, register_count> names = {
    "x0",  "x1",  "x2",  "x3",  "x4",  "x5",  "x6",  "x7",  "x8",  "x9",    "x10", "x11",
    "x12", "x13", "x14", "x15", "x16", "x17", "x18", "x19", "x20", "x21",   "x22", "x23",
    "x24", "x25", "x26", "x27", "x28", "x29", "x30", "sp",  "pc",  "pstate"};

// struct elf_prstatus on a 64-bit kernel.
constexpr uint64_t prstatus_pid = 32;
constexpr uint64_t prstatus_registers = 112;

// regs[31], sp, pc, pstate: the start of struct pt_regs, the whole of struct user_pt_regs.
constexpr uint64_t user_pt_regs_size = register_count * 8;
// sizeof(struct pt_regs): the same total before and after v6.13 moved the frame record inside it.
constexpr size_t kernel_pt_regs_size = 336;

// PSR_MODE_MASK without the AArch32 bit, as the kernel's user_mode() has it.
constexpr uint64_t mode_mask = 0xf;
constexpr uint64_t mode_el0t = 0;

constexpr uint16_t em_aarch64 = 183;

std::optional<Registers> read_user_pt_regs(Bytes bytes) {
  if (bytes.size() < user_pt_regs_size) return std::nullopt;
  Registers regs;
  for (size_t i = 0; i < register_count; ++i) regs.set(i, *load<ul64>(bytes, i * 8));
  return regs;
}

class Arm64 final : public Arch {
 public:
  std::string_view name() const override { return "arm64"; }
  uint16_t elf_machine() const override { return em_aarch64; }
  std::string_view uts_machine() const override { return "aarch64"; }

  std::span<const std::string_view> register_names() const override { return names; }
  const RegisterRoles& roles() const override {
    static const RegisterRoles roles{.pc = pc, .sp = sp, .frame_pointer = x29, .link = x30, .status = pstate};
    return roles;
  }

  std::optional<Registers> registers_from_prstatus(Bytes desc, int32_t* pid) const override {
    std::optional<Bytes> area = subspan(desc, prstatus_registers, user_pt_regs_size);
    if (!area) return std::nullopt;
    if (pid != nullptr) *pid = *load<il32>(desc, prstatus_pid);
    return read_user_pt_regs(*area);
  }
  size_t pt_regs_size() const override { return kernel_pt_regs_size; }
  std::optional<Registers> registers_from_pt_regs(Bytes pt_regs) const override {
    return read_user_pt_regs(pt_regs);
  }
  bool user_mode(const Registers& regs) const override {
    std::optional<uint64_t> status = regs.get(pstate);
    return status && (*status & mode_mask) == mode_el0t;
  }

  VirtAddr strip(uint64_t address, const VaLayout& layout) const override {
    return {arm64_strip(address, layout.signature_mask)};
  }
  std::unique_ptr<Translator> make_translator(const Vmcoreinfo& info, uint32_t page_size,
                                              PhysReader& memory) const override {
    return make_arm64_translator(info, page_size, memory);
  }
};

}  // namespace

const Arch& arm64() {
  static const Arm64 instance;
  return instance;
}

}  // namespace kdk
