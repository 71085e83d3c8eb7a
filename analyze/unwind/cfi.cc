#include "analyze/unwind/cfi.h"

#include <elf.h>
#include <elfutils/libdw.h>

#include <algorithm>
#include <array>
#include <bitset>
#include <cstdlib>

#include "analyze/unwind/expression.h"

namespace kdk {
namespace {

struct FreeFrame {
  void operator()(Dwarf_Frame* frame) const { std::free(frame); }
};
using FramePtr = std::unique_ptr<Dwarf_Frame, FreeFrame>;

// Registers that a call leaves alone, by DWARF number. libdw does not tell a register without a rule from one
// whose rule says that it keeps its value: of these both are true, of the others neither. Source: System V
// ABI AMD64 supplement, figure 3.4; AAPCS64 section 6.1.1.
struct CallSaved {
  uint16_t machine;
  std::bitset<Registers::max_count> registers;
};
const std::array<CallSaved, 2> call_saved{{
    {EM_X86_64, 0b1111'0000'1100'1000},            // rbx, rbp, rsp, r12 to r15
    {EM_AARCH64, 0b1011'1111'1111'1000ULL << 16},  // x19 to x29, sp
}};

// rbx, of which libdw says that it is undefined where there is no rule for it (seen in elfutils 0.188): the one
// register that calls leave alone without libdw knowing.
constexpr size_t rbx = 3;

bool survives_call(uint16_t machine, size_t number) {
  auto found = std::find_if(call_saved.begin(), call_saved.end(),
                            [&](const CallSaved& entry) { return entry.machine == machine; });
  return found != call_saved.end() && number < Registers::max_count && found->registers.test(number);
}

// What a row says of one register.
struct Rule {
  enum class Kind : uint8_t { undefined, same_value, expression, damaged };
  Kind kind = Kind::damaged;
  Dwarf_Op storage[3] = {};
  std::span<const Dwarf_Op> ops;

  Rule(Dwarf_Frame* frame, size_t number) {
    Dwarf_Op* found = nullptr;
    size_t count = 0;
    if (dwarf_frame_register(frame, static_cast<int>(number), storage, &found, &count) != 0) return;
    if (count != 0) {
      kind = Kind::expression;
      ops = {found, count};
    } else {
      // libdw tells the two apart by the pointer.
      kind = found == nullptr ? Kind::same_value : Kind::undefined;
    }
  }
  Rule(const Rule&) = delete;
  Rule& operator=(const Rule&) = delete;
};

// Value of a register in the caller.
std::optional<uint64_t> recover(const Rule& rule, size_t number, const ExpressionContext& context) {
  if (rule.kind == Rule::Kind::same_value) return context.registers.get(number);
  if (rule.kind != Rule::Kind::expression) return std::nullopt;
  std::optional<ExpressionResult> result = evaluate(rule.ops, context);
  if (!result) return std::nullopt;
  return result->is_value ? std::optional(result->value) : context.memory.u64(VirtAddr{result->value});
}

}  // namespace

struct DwarfCallFrames::Impl {
  const VmlinuxFile& file;
  uint64_t load_offset;
  bool opened = false;
  Dwarf* dwarf = nullptr;
  Dwarf_CFI* debug_frame = nullptr;  // belongs to `dwarf`
  Dwarf_CFI* eh_frame = nullptr;

  Impl(const VmlinuxFile& vmlinux, uint64_t offset) : file(vmlinux), load_offset(offset) {}
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  ~Impl() {
    if (eh_frame) dwarf_cfi_end(eh_frame);
    dwarf_end(dwarf);
  }

  void open() {
    opened = true;
    if (file.has_section(".debug_frame")) {
      dwarf = dwarf_begin_elf(file.elf(), DWARF_C_READ, nullptr);
      if (dwarf) debug_frame = dwarf_getcfi(dwarf);
    }
    if (file.has_section(".eh_frame")) eh_frame = dwarf_getcfi_elf(file.elf());
  }

  FramePtr find(uint64_t link_address) {
    if (!opened) open();
    for (Dwarf_CFI* cfi : {debug_frame, eh_frame}) {
      Dwarf_Frame* frame = nullptr;
      if (cfi && dwarf_cfi_addrframe(cfi, link_address, &frame) == 0) return FramePtr(frame);
    }
    return nullptr;
  }
};

DwarfCallFrames::DwarfCallFrames(const VmlinuxFile& file, uint64_t load_offset)
    : impl_(std::make_unique<Impl>(file, load_offset)) {}
DwarfCallFrames::~DwarfCallFrames() = default;

std::optional<CallFrameInfo::Caller> DwarfCallFrames::caller(KernelMemory& memory, const Registers& frame,
                                                             bool pc_is_return_address) {
  const Arch& arch = memory.arch();
  const RegisterRoles& roles = arch.roles();
  std::optional<uint64_t> pc = frame.get(roles.pc);
  if (!pc || arch.elf_machine() != impl_->file.machine()) return std::nullopt;
  FramePtr row = impl_->find(*pc - (pc_is_return_address ? 1 : 0) - impl_->load_offset);
  if (!row) return std::nullopt;

  Caller caller;
  int return_column = dwarf_frame_info(row.get(), nullptr, nullptr, &caller.interrupted);
  Dwarf_Op* cfa_ops = nullptr;
  size_t cfa_count = 0;
  if (return_column < 0 || dwarf_frame_cfa(row.get(), &cfa_ops, &cfa_count) != 0 || cfa_count == 0) {
    return std::nullopt;
  }
  ExpressionContext context{memory, frame, impl_->load_offset};
  std::optional<ExpressionResult> cfa = evaluate({cfa_ops, cfa_count}, context);
  if (!cfa) return std::nullopt;
  context.cfa = cfa->value;

  const auto return_number = static_cast<size_t>(return_column);
  Rule return_rule(row.get(), return_number);
  if (return_rule.kind == Rule::Kind::undefined) {
    caller.outermost = true;
    return caller;
  }
  std::optional<uint64_t> return_address = recover(return_rule, return_number, context);
  if (!return_address) return std::nullopt;

  // General registers are numbered as in DWARF and come before pc (core/arch/arch.h, Registers).
  for (size_t number = 0; number < roles.pc; ++number) {
    Rule rule(row.get(), number);
    if (rule.kind == Rule::Kind::undefined && number == rbx && impl_->file.machine() == EM_X86_64) {
      rule.kind = Rule::Kind::same_value;
    }
    const bool kept = caller.interrupted || survives_call(impl_->file.machine(), number);
    if (rule.kind == Rule::Kind::same_value && !kept) continue;
    std::optional<uint64_t> value = recover(rule, number, context);
    if (value) caller.registers.set(number, *value);
  }
  // The CFA is the stack pointer of the caller unless a rule says otherwise (DWARF 5 section 6.4.1).
  Rule sp_rule(row.get(), roles.sp);
  if (sp_rule.kind != Rule::Kind::expression) caller.registers.set(roles.sp, cfa->value);
  caller.registers.set(roles.pc, arch.strip(*return_address, memory.layout()).value);
  return caller;
}

}  // namespace kdk
