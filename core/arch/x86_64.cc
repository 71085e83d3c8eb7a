// x86-64: registers, their roles and where the kernel saves them. Page tables are in x86_64_translate.cc.
// Source: arch/x86/include/asm/user_64.h (struct user_regs_struct), arch/x86/include/asm/ptrace.h (struct
// pt_regs), include/linux/elfcore.h (struct elf_prstatus).
#include "core/arch/x86_64.h"

#include "core/arch/arch.h"
#include "core/arch/x86_64_translate.h"

namespace kdk {
namespace {

constexpr std::array<std::string_view, x86_64_reg::count> names = {
    "rax", "rdx", "rcx", "rbx", "rsi", "rdi", "rbp",     "rsp",     "r8",
    "r9",  "r10", "r11", "r12", "r13", "r14", "r15",     "rip",     "rflags",
    "cs",  "ss",  "ds",  "es",  "fs",  "gs",  "fs_base", "gs_base", "orig_rax"};

// struct user_regs_struct; struct pt_regs is its first 21 words. A segment register is the low 16 bits of its
// word: with FRED (v6.9 and later) the CPU keeps other things above them (struct fred_cs, struct fred_ss).
namespace r = x86_64_reg;
constexpr std::array<size_t, x86_64_reg::count> saved_order = {
    r::r15,    r::r14, r::r13, r::r12,     r::rbp,     r::rbx, r::r11,      r::r10, r::r9,
    r::r8,     r::rax, r::rcx, r::rdx,     r::rsi,     r::rdi, r::orig_rax, r::rip, r::cs,
    r::rflags, r::rsp, r::ss,  r::fs_base, r::gs_base, r::ds,  r::es,       r::fs,  r::gs};
constexpr size_t pt_regs_words = 21;

constexpr bool is_segment(size_t index) {
  return index >= r::cs && index <= r::gs;
}

// struct elf_prstatus on a 64-bit kernel.
constexpr uint64_t prstatus_pid = 32;
constexpr uint64_t prstatus_registers = 112;

// QEMU's note of a CPU (target/i386/arch_dump.c, struct QEMUCPUState): version and size, 18 registers, 10
// segments of 24 bytes, cr0 to cr4, kernel_gs_base.
constexpr uint64_t qemu_cr3 = 8 + 18 * 8 + 10 * 24 + 3 * 8;

// The requested privilege level in a code segment selector: 0 is the kernel.
constexpr uint64_t privilege_mask = 3;

constexpr uint16_t em_x86_64 = 62;

std::optional<Registers> read_words(Bytes bytes, size_t words) {
  if (bytes.size() < words * 8) return std::nullopt;
  Registers regs;
  for (size_t i = 0; i < words; ++i) {
    const uint64_t value = *load<ul64>(bytes, i * 8);
    regs.set(saved_order[i], is_segment(saved_order[i]) ? value & 0xffff : value);
  }
  return regs;
}

class X86_64 final : public Arch {
 public:
  std::string_view name() const override { return "x86_64"; }
  uint16_t elf_machine() const override { return em_x86_64; }
  std::string_view uts_machine() const override { return "x86_64"; }

  std::span<const std::string_view> register_names() const override { return names; }
  const RegisterRoles& roles() const override {
    static const RegisterRoles roles{
        .pc = r::rip, .sp = r::rsp, .frame_pointer = r::rbp, .link = std::nullopt, .status = r::rflags};
    return roles;
  }

  std::optional<Registers> registers_from_prstatus(Bytes desc, int32_t* pid) const override {
    std::optional<Bytes> area = subspan(desc, prstatus_registers, saved_order.size() * 8);
    if (!area) return std::nullopt;
    if (pid != nullptr) *pid = *load<il32>(desc, prstatus_pid);
    return read_words(*area, saved_order.size());
  }
  size_t pt_regs_size() const override { return pt_regs_words * 8; }
  std::optional<Registers> registers_from_pt_regs(Bytes pt_regs) const override {
    return read_words(pt_regs, pt_regs_words);
  }
  std::optional<PhysAddr> active_tables(const Note& note) const override {
    if (note.name != "QEMU") return std::nullopt;
    const std::optional<ul64> cr3 = load<ul64>(note.desc, qemu_cr3);
    if (!cr3) return std::nullopt;
    return PhysAddr{*cr3};
  }
  bool user_mode(const Registers& regs) const override {
    std::optional<uint64_t> cs = regs.get(r::cs);
    return cs && (*cs & privilege_mask) != 0;
  }

  // Kernel pointers carry no tags.
  VirtAddr strip(uint64_t address, const VaLayout&) const override { return {address}; }
  std::unique_ptr<Translator> make_translator(const Vmcoreinfo& info, uint32_t page_size,
                                              PhysReader& memory) const override {
    return make_x86_64_translator(info, page_size, memory);
  }
};

}  // namespace

const Arch& x86_64() {
  static const X86_64 instance;
  return instance;
}

}  // namespace kdk
