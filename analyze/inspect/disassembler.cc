#include "analyze/inspect/disassembler.h"

#include <capstone/capstone.h>
#include <fmt/format.h>

#include <algorithm>

namespace kdk {
namespace {

constexpr uint16_t em_x86_64 = 62, em_aarch64 = 183;

// "w3" and "eax" are parts of "x3" and "rax"; what is no register of the kernel's own set is left out.
std::string whole_register(std::string_view name, const Arch& arch) {
  const auto names = arch.register_names();
  const auto known = [&](std::string_view candidate) {
    return std::find(names.begin(), names.end(), candidate) != names.end();
  };
  if (known(name)) return std::string(name);
  if (arch.elf_machine() == em_aarch64) {
    if (name == "fp") return "x29";
    if (name == "lr") return "x30";
    if (name.size() > 1 && name[0] == 'w') return whole_register("x" + std::string(name.substr(1)), arch);
    return {};
  }
  // r8d, r8w, r8b; eax, ax, al, ah; sil.
  if (name.size() > 2 && name[0] == 'r' && name[1] >= '0' && name[1] <= '9') {
    const std::string cut(name.substr(0, name.find_last_of("0123456789") + 1));
    return known(cut) ? cut : std::string();
  }
  std::string_view stem = name;
  if (stem.size() == 3 && stem[0] == 'e') stem.remove_prefix(1);
  if (stem.size() == 3 && stem[2] == 'l') stem.remove_suffix(1);
  if (stem.size() == 2 && (stem[1] == 'l' || stem[1] == 'h')) {
    const std::string wide = fmt::format("r{}x", stem[0]);
    return known(wide) ? wide : std::string();
  }
  const std::string wide = "r" + std::string(stem);
  return known(wide) ? wide : std::string();
}

}  // namespace

struct Disassembler::Impl {
  const Arch& arch;
  csh handle = 0;
  cs_insn* instruction = nullptr;
  bool arm64 = false;

  explicit Impl(const Arch& arch_in) : arch(arch_in), arm64(arch_in.elf_machine() == em_aarch64) {}
  ~Impl() {
    if (instruction != nullptr) cs_free(instruction, 1);
    if (handle != 0) cs_close(&handle);
  }

  bool open() {
    if (cs_open(arm64 ? CS_ARCH_ARM64 : CS_ARCH_X86, arm64 ? CS_MODE_ARM : CS_MODE_64, &handle) != CS_ERR_OK)
      return false;
    cs_option(handle, CS_OPT_DETAIL, CS_OPT_ON);
    if (!arm64) cs_option(handle, CS_OPT_SYNTAX, CS_OPT_SYNTAX_ATT);
    instruction = cs_malloc(handle);
    return instruction != nullptr;
  }

  DecodedInstruction raw(Bytes bytes) const {
    DecodedInstruction out;
    if (arm64 && bytes.size() >= 4) {
      out.size = 4;
      const uint32_t word = *load<ul32>(bytes);
      const auto extra = decode_arm64_extra(word);
      out.known = extra.has_value();
      out.text = extra ? *extra : fmt::format(".word {:#010x}", word);
    } else {
      out.size = 1;
      out.text = fmt::format(".byte {:#04x}", bytes[0]);
    }
    return out;
  }

  void add_register(unsigned number, DecodedInstruction& out) const {
    const char* name = cs_reg_name(handle, number);
    if (name == nullptr) return;
    std::string whole = whole_register(name, arch);
    if (!whole.empty() && std::ranges::find(out.registers, whole) == out.registers.end())
      out.registers.push_back(std::move(whole));
  }

  void set_base(unsigned number, int64_t displacement, DecodedInstruction& out) const {
    const char* name = cs_reg_name(handle, number);
    if (name == nullptr) return;
    out.base = whole_register(name, arch);
    out.displacement = static_cast<uint64_t>(displacement);
  }

  void add_operands(DecodedInstruction& out) const {
    const cs_detail& detail = *instruction->detail;
    out.call = cs_insn_group(handle, instruction, CS_GRP_CALL);
    out.jump = cs_insn_group(handle, instruction, CS_GRP_JUMP);
    if (arm64) {
      // capstone 4 has no group for the calls of arm64.
      out.call |= instruction->id == ARM64_INS_BL || instruction->id == ARM64_INS_BLR;
      for (uint8_t i = 0; i < detail.arm64.op_count; ++i) {
        const cs_arm64_op& op = detail.arm64.operands[i];
        if (op.type == ARM64_OP_REG) add_register(op.reg, out);
        if (op.type == ARM64_OP_MEM) {
          add_register(op.mem.base, out);
          add_register(op.mem.index, out);
          if (op.mem.index == ARM64_REG_INVALID) set_base(op.mem.base, op.mem.disp, out);
          out.memory = true;
        }
        const bool address = out.call || out.jump || instruction->id == ARM64_INS_ADRP ||
                             instruction->id == ARM64_INS_ADR || instruction->id == ARM64_INS_TBZ ||
                             instruction->id == ARM64_INS_TBNZ;
        // The bit that tbz looks at comes before its target.
        if (op.type == ARM64_OP_IMM && address) out.target = static_cast<uint64_t>(op.imm);
      }
      out.page = instruction->id == ARM64_INS_ADRP;
      const cs_arm64_op* ops = detail.arm64.operands;
      if (instruction->id == ARM64_INS_ADD && detail.arm64.op_count == 3 && ops[1].type == ARM64_OP_REG &&
          ops[2].type == ARM64_OP_IMM)
        set_base(ops[1].reg, ops[2].imm, out);
      return;
    }
    for (uint8_t i = 0; i < detail.x86.op_count; ++i) {
      const cs_x86_op& op = detail.x86.operands[i];
      if (op.type == X86_OP_REG) add_register(op.reg, out);
      if (op.type == X86_OP_IMM)
        (out.call || out.jump ? out.target : out.constant) = static_cast<uint64_t>(op.imm);
      if (op.type != X86_OP_MEM) continue;
      add_register(op.mem.base, out);
      add_register(op.mem.index, out);
      if (op.mem.index == X86_REG_INVALID && op.mem.segment == X86_REG_INVALID)
        set_base(op.mem.base, op.mem.disp, out);
      out.memory = true;
      if (op.mem.base == X86_REG_RIP)
        out.target = instruction->address + instruction->size + static_cast<uint64_t>(op.mem.disp);
    }
  }
};

Disassembler::Disassembler(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Disassembler::~Disassembler() = default;

std::unique_ptr<Disassembler> Disassembler::make(const Arch& arch) {
  if (arch.elf_machine() != em_x86_64 && arch.elf_machine() != em_aarch64) return nullptr;
  auto impl = std::make_unique<Impl>(arch);
  if (!impl->open()) return nullptr;
  return std::unique_ptr<Disassembler>(new Disassembler(std::move(impl)));
}

DecodedInstruction Disassembler::decode(Bytes bytes, uint64_t address) {
  // Hints that capstone shows by number, and what it reads as something else.
  if (impl_->arm64 && bytes.size() >= 4) {
    if (const auto extra = decode_arm64_extra(*load<ul32>(bytes))) {
      DecodedInstruction out;
      out.size = 4;
      out.known = true;
      out.text = *extra;
      return out;
    }
  }
  const uint8_t* code = bytes.data();
  size_t size = bytes.size();
  uint64_t at = address;
  if (!cs_disasm_iter(impl_->handle, &code, &size, &at, impl_->instruction)) return impl_->raw(bytes);
  DecodedInstruction out;
  out.size = impl_->instruction->size;
  out.known = true;
  out.text = impl_->instruction->mnemonic;
  if (impl_->instruction->op_str[0] != '\0') out.text += fmt::format(" {}", impl_->instruction->op_str);
  impl_->add_operands(out);
  return out;
}

}  // namespace kdk
