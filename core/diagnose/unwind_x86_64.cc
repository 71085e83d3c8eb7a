// x86-64 kernels have no frame records to rely on: most are built without frame pointers and bring ORC tables
// instead. The ways from a frame to its caller, best first:
//  - ORC, the kernel's own rules: from the dump, or from a vmlinux that was given;
//  - DWARF call frame information of a vmlinux. It comes second because it does not know entry code and goes
//    wrong where the kernel switches stacks;
//  - a whole pt_regs right at the stack pointer, as entry code leaves it: known by its form;
//  - frame pointers, where the function's first instructions prove that it keeps one (kernels built so, and
//    generated code);
//  - the nearest word on the stack that is an address behind a call of the very function we are in. This is
//    how __crash_kexec(), where every panic ends, leads on: its ORC rows say nothing, on purpose;
//  - a scan of the stack for addresses behind any call. What it finds may be left over from calls that have
//    returned: such frames, and all that follow from them, have the trust "scan".
// Every way keeps the rules of stack_cursor.h.
// Source: arch/x86/kernel/unwind_orc.c, unwind_frame.c, arch/x86/entry/entry_64.S.
#include "core/diagnose/unwind_x86_64.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "core/arch/x86_64.h"
#include "core/diagnose/orc_tables.h"
#include "core/diagnose/return_hooks.h"
#include "core/diagnose/stack_cursor.h"
#include "core/diagnose/unwinder.h"

namespace kdk {
namespace {

namespace r = x86_64_reg;

constexpr uint64_t word = 8;
constexpr uint64_t pt_regs_bytes = 21 * word;
// Offset of the interrupt frame in struct pt_regs: 15 registers and orig_ax come before it.
constexpr uint64_t interrupt_frame_offset = 16 * word;
static_assert(interrupt_frame_offset + sizeof(InterruptFrame) == pt_regs_bytes);

class Walk {
 public:
  Walk(Kernel& kernel, const StackSet& stacks, const UnwindAids& aids)
      : memory_(kernel.memory()),
        code_(kernel),
        orc_(kernel, code_, aids.orc),
        cfi_(aids.cfi),
        hooks_(kernel, stacks.task),
        stacks_(memory_, stacks) {}

  Backtrace run(const Registers& start, size_t limit);

 private:
  enum class Step : uint8_t {
    moved,    // a frame was added, or the walk was stopped
    no_rule,  // this way does not lead on; why_ may say more
  };
  Step bad_call();
  Step by_orc();
  Step by_cfi();
  Step by_registers();
  Step by_frame_pointer();
  Step by_call_target();
  Step by_scan();

  std::optional<uint64_t> orc_caller_sp(const OrcRule& rule);
  Step return_to_caller(uint64_t slot, std::optional<uint64_t> caller_rbp, Trust trust);
  Step enter_context(uint64_t at, bool whole, bool interrupted);
  void add_frame(FrameKind kind, Trust trust, uint64_t at);
  uint64_t lowest_word() const;
  bool believable(uint64_t return_address);
  bool calls_us(uint64_t return_address);
  bool proven(const InterruptFrame& frame, uint64_t at);

  uint64_t reg(size_t index) const { return regs_.get(index).value_or(0); }
  // The address whose rule applies: that of the call, for a return address.
  uint64_t rule_pc() const { return reg(r::rip) - (is_return_address_ ? 1 : 0); }
  Step fail(std::string why) {
    if (why_.empty()) why_ = std::move(why);
    return Step::no_rule;
  }
  Step stop(std::string why, bool complete) {
    trace_.end = std::move(why);
    trace_.complete = complete && !any_scan_;
    return Step::moved;
  }

  KernelMemory& memory_;
  CodeMap code_;
  OrcTables orc_;
  CallFrameInfo* cfi_;
  ReturnHooks hooks_;
  StackCursor stacks_;

  Registers regs_;                  // of the frame added last
  bool is_return_address_ = false;  // its rip is one
  bool is_context_ = true;          // its registers are those of an interrupted context, all of them
  bool rbp_guessed_ = false;        // its rbp is right only if its callee left it alone
  bool scanned_ = false;            // it follows from a scan
  bool any_scan_ = false;           // some frame did: others may be missing
  std::string why_;                 // why the first way that applied does not lead on
  Backtrace trace_;
};

Backtrace Walk::run(const Registers& start, size_t limit) {
  regs_ = start;
  Frame first;
  first.pc = reg(r::rip);
  first.trust = Trust::registers;
  first.stack = stacks_.name_of(reg(r::rsp));
  // An overflowed stack: rsp is in the guard page below it.
  if (first.stack == "?") first.stack = stacks_.name_of(reg(r::rsp) + memory_.page_size());
  trace_.frames.push_back(std::move(first));

  constexpr std::array ways = {&Walk::bad_call,     &Walk::by_orc,           &Walk::by_cfi,
                               &Walk::by_registers, &Walk::by_frame_pointer, &Walk::by_call_target,
                               &Walk::by_scan};
  while (trace_.end.empty()) {
    if (trace_.frames.size() >= limit) {
      stop(fmt::format("more than {} frames", limit), false);
      break;
    }
    why_.clear();
    const StackCursor before = stacks_;
    bool moved = false;
    for (auto way : ways) {
      moved = (this->*way)() == Step::moved;
      if (moved) break;
      stacks_ = before;
    }
    if (!moved) stop(why_.empty() ? "nothing on the stack leads to a caller" : why_, false);
  }
  return std::move(trace_);
}

void Walk::add_frame(FrameKind kind, Trust trust, uint64_t at) {
  Frame frame;
  frame.pc = reg(r::rip);
  frame.kind = kind;
  frame.trust = scanned_ ? Trust::scan : trust;
  frame.pc_is_return_address = is_return_address_;
  frame.at = at;
  frame.stack = kind == FrameKind::exception ? stacks_.name_of(reg(r::rsp)) : stacks_.stack().name;
  if (kind == FrameKind::exception) frame.registers = regs_;
  trace_.frames.push_back(std::move(frame));
}

// Where the frame's words on the stack begin: at rsp or, when the stack has overflowed into the guard page
// below it, at the first address that is there.
uint64_t Walk::lowest_word() const {
  const uint64_t rsp = align_up(reg(r::rsp), word);
  const uint64_t next_page = align_up(rsp, memory_.page_size());
  const bool overflowed =
      stacks_.name_of(rsp) == "?" && memory_.translate(VirtAddr{rsp}).status == Translation::Status::unmapped;
  return overflowed ? next_page : rsp;
}

// After a guess every further address needs evidence of its own.
bool Walk::believable(uint64_t return_address) {
  if (!scanned_) return code_.maybe_code(return_address - 1);
  return code_.known_code(return_address - 1) && call_before(memory_, code_, return_address);
}

// True when the call before `return_address` leads to the function we are in, as far as can be told.
bool Walk::calls_us(uint64_t return_address) {
  const std::optional<CallSite> call = call_before(memory_, code_, return_address);
  return call && (!call->target || code_.is_entry_of(*call->target, rule_pc()));
}

// True when the words at `at` on the current stack are an interrupt frame by their form and place. The CPU
// pushes it right below the interrupted rsp (16-byte aligned, with FRED 64), or on another stack.
bool Walk::proven(const InterruptFrame& frame, uint64_t at) {
  if (!plausible(frame, code_)) return false;
  constexpr uint64_t max_gap = 64;
  const uint64_t end = at + sizeof(InterruptFrame);
  const StackRange& stack = stacks_.stack();
  // Exception stacks are only entered by the CPU; the NMI stack has copies of the frame below the first one.
  const bool exceptions_only = stack.name != "task" && stack.name != "irq" && stack.name != "?";
  if (frame.from_user()) return exceptions_only || stack.high - end < max_gap;
  const bool same_stack = frame.rsp >= stack.low && frame.rsp <= stack.high;
  if (same_stack) return frame.rsp >= end && frame.rsp - end < max_gap;
  return exceptions_only && stacks_.name_of(frame.rsp) != "?";
}

// The return address at `slot`, the last word of the frame, leads to a caller whose rbp is `caller_rbp`.
Walk::Step Walk::return_to_caller(uint64_t slot, std::optional<uint64_t> caller_rbp, Trust trust) {
  std::optional<uint64_t> address = memory_.u64(VirtAddr{slot});
  if (!address) return fail(fmt::format("the return address at {:#x} cannot be read", slot));
  bool hooked = hooks_.is_hook(*address);
  if (std::optional<uint64_t> original = hooked ? hooks_.original(slot) : std::nullopt) {
    address = original;
    hooked = false;
  }
  if (!hooked && !believable(*address)) {
    return fail(fmt::format("the return address {:#x} at {:#x} is not code", *address, slot));
  }
  if (std::optional<std::string> why = stacks_.consume(slot, word)) {
    return fail(fmt::format("the return address at {:#x} {}", slot, *why));
  }
  regs_ = Registers{};
  regs_.set(r::rip, *address);
  regs_.set(r::rsp, slot + word);
  if (caller_rbp) regs_.set(r::rbp, *caller_rbp);
  is_return_address_ = !hooked;  // a trampoline is entered at its first instruction
  is_context_ = rbp_guessed_ = false;
  add_frame(FrameKind::call, trust, slot);
  return Step::moved;
}

// Continues with the registers saved at `at`: a whole struct pt_regs, or only its interrupt frame.
Walk::Step Walk::enter_context(uint64_t at, bool whole, bool interrupted) {
  const uint64_t size = whole ? pt_regs_bytes : sizeof(InterruptFrame);
  std::vector<uint8_t> bytes(size);
  if (!memory_.read(VirtAddr{at}, bytes))
    return fail(fmt::format("the registers at {:#x} cannot be read", at));
  if (std::optional<std::string> why = stacks_.consume(at, size)) {
    return fail(fmt::format("the registers at {:#x}: their place {}", at, *why));
  }
  const auto frame = *load<InterruptFrame>(bytes, size - sizeof(InterruptFrame));
  if (frame.from_user()) return stop("user mode", true);
  // A kernel thread has a pt_regs for the user mode it never was in.
  if (frame.rip == 0 && frame.cs == 0) return stop("thread start", true);

  Registers next;
  if (whole) {
    next = *x86_64().registers_from_pt_regs(bytes);
  } else {
    // Entry code that has saved no more has not yet changed these either, and rules may start from them.
    for (size_t index : {r::rbp, r::r10, r::r13, r::rdi, r::rdx}) {
      if (std::optional<uint64_t> value = regs_.get(index)) next.set(index, *value);
    }
    next.set(r::rip, frame.rip);
    next.set(r::cs, frame.cs & 0xffff);
    next.set(r::rflags, frame.rflags);
    next.set(r::rsp, frame.rsp);
    next.set(r::ss, frame.ss & 0xffff);
  }
  regs_ = next;
  is_return_address_ = !interrupted;
  is_context_ = true;
  rbp_guessed_ = false;
  add_frame(interrupted ? FrameKind::exception : FrameKind::call, interrupted ? Trust::registers : Trust::orc,
            at);
  return Step::moved;
}

// An address that is no code was called, so its return address is still where the call put it.
Walk::Step Walk::bad_call() {
  const uint64_t rip = reg(r::rip), slot = reg(r::rsp);
  if (!is_context_ || is_return_address_ || code_.maybe_code(rip)) return Step::no_rule;
  const std::optional<uint64_t> address = memory_.u64(VirtAddr{slot});
  if (!address || !call_before(memory_, code_, *address)) {
    return fail(fmt::format("{:#x} is not code, and no call to it is on the stack", rip));
  }
  if (std::optional<std::string> why = stacks_.consume(slot, word)) {
    return fail(fmt::format("the return address at {:#x} {}", slot, *why));
  }
  regs_.set(r::rip, *address);
  regs_.set(r::rsp, slot + word);
  is_return_address_ = true;
  add_frame(FrameKind::bad_call, Trust::registers, slot);
  return Step::moved;
}

// The stack pointer in the caller, or for registers their address. nullopt when the rule needs a register or
// memory that is not known.
std::optional<uint64_t> Walk::orc_caller_sp(const OrcRule& rule) {
  auto from = [&](size_t index) -> std::optional<uint64_t> {
    const std::optional<uint64_t> value = regs_.get(index);
    if (!value) return std::nullopt;
    return *value + static_cast<uint64_t>(int64_t{rule.sp_offset});
  };
  // The rules that name these registers ignore the offset.
  auto plain = [&](size_t index) { return regs_.get(index); };
  switch (rule.sp_reg) {
    case OrcReg::sp:
      return from(r::rsp);
    case OrcReg::bp:
      return from(r::rbp);
    case OrcReg::ax:
      return plain(r::rax);
    case OrcReg::dx:
      return plain(r::rdx);
    case OrcReg::di:
      return plain(r::rdi);
    case OrcReg::r10:
      return plain(r::r10);
    case OrcReg::r13:
      return plain(r::r13);
    case OrcReg::bp_indirect: {
      const std::optional<uint64_t> at = from(r::rbp);
      return at ? memory_.u64(VirtAddr{*at}) : std::nullopt;
    }
    case OrcReg::sp_indirect: {
      // The other stack's pointer was pushed here. The offset is added to what was read since Linux commit
      // 87ccc826bf1c ("x86/unwind/orc: Change REG_SP_INDIRECT") (in v5.12), to where it is read before: only
      // one of them gives a place on a stack.
      const auto offset = static_cast<uint64_t>(int64_t{rule.sp_offset});
      const std::optional<uint64_t> sp = plain(r::rsp);
      const std::optional<uint64_t> value = sp ? memory_.u64(VirtAddr{*sp}) : std::nullopt;
      if (value && stacks_.name_of(*value + offset - word) != "?") return *value + offset;
      const std::optional<uint64_t> older = sp ? memory_.u64(VirtAddr{*sp + offset}) : std::nullopt;
      if (older && stacks_.name_of(*older - word) != "?") return older;
      return value ? std::optional(*value + offset) : std::nullopt;
    }
    case OrcReg::undefined:
    case OrcReg::prev_sp:
      break;
  }
  return std::nullopt;
}

Walk::Step Walk::by_orc() {
  const std::optional<OrcRule> rule = orc_.find(rule_pc());
  if (!rule || rule->type == OrcType::undefined) return Step::no_rule;
  if (rule->type == OrcType::end_of_stack) return stop("thread start", true);
  const std::optional<uint64_t> sp = orc_caller_sp(*rule);
  if (!sp) return fail(fmt::format("the rule at {:#x} needs a register that is not known", rule_pc()));
  if (rule->type == OrcType::regs) return enter_context(*sp, true, rule->signal);

  std::optional<uint64_t> rbp = regs_.get(r::rbp);
  const auto bp_offset = static_cast<uint64_t>(int64_t{rule->bp_offset});
  if (rule->bp_reg == OrcReg::prev_sp) rbp = memory_.u64(VirtAddr{*sp + bp_offset});
  if (rule->bp_reg == OrcReg::bp && rbp) rbp = memory_.u64(VirtAddr{*rbp + bp_offset});
  const bool uses_rbp =
      rule->sp_reg == OrcReg::bp || rule->sp_reg == OrcReg::bp_indirect || rule->bp_reg == OrcReg::bp;
  if (rbp_guessed_ && uses_rbp) {
    const std::optional<uint64_t> address = memory_.u64(VirtAddr{*sp - word});
    if (rule->type != OrcType::call || !address || !calls_us(*address)) {
      return fail(fmt::format("the rule at {:#x} needs rbp, which is not known", rule_pc()));
    }
  }
  if (rule->type == OrcType::call) {
    const bool still_guessed = rbp_guessed_ && rule->bp_reg == OrcReg::undefined;
    const Step step = return_to_caller(*sp - word, rbp, Trust::orc);
    rbp_guessed_ = step == Step::moved ? still_guessed : rbp_guessed_;
    // Code that is called without a call instruction says so: its "return address" was interrupted.
    if (step == Step::moved && rule->signal) {
      is_return_address_ = false;
      trace_.frames.back().pc_is_return_address = false;
    }
    return step;
  }
  if (rbp) regs_.set(r::rbp, *rbp);
  return enter_context(*sp, false, rule->signal);
}

Walk::Step Walk::by_cfi() {
  if (cfi_ == nullptr || scanned_) return Step::no_rule;
  const std::optional<CallFrameInfo::Caller> caller = cfi_->caller(memory_, regs_, is_return_address_);
  if (!caller) return Step::no_rule;
  if (caller->outermost) return stop("thread start", true);
  const std::optional<uint64_t> pc = caller->registers.get(r::rip), sp = caller->registers.get(r::rsp);
  if (!pc || !sp) return Step::no_rule;
  if (!believable(*pc)) return fail(fmt::format("the return address {:#x} is not code", *pc));
  if (std::optional<std::string> why = stacks_.consume(*sp - word, word)) {
    return fail(fmt::format("the return address at {:#x} {}", *sp - word, *why));
  }
  regs_ = caller->registers;
  is_return_address_ = !caller->interrupted;
  is_context_ = caller->interrupted;
  rbp_guessed_ = false;
  add_frame(caller->interrupted ? FrameKind::exception : FrameKind::call, Trust::cfi, *sp - word);
  return Step::moved;
}

// Entry code calls its handlers with rsp at the registers it has saved. A kernel thread begins below
// registers that are all zero, at the top of its stack.
Walk::Step Walk::by_registers() {
  const uint64_t at = reg(r::rsp);
  const auto frame = memory_.load<InterruptFrame>(VirtAddr{at + interrupt_frame_offset});
  if (is_context_ || !frame) return Step::no_rule;
  constexpr uint64_t max_padding = 16;  // TOP_OF_KERNEL_STACK_PADDING
  const bool at_top = stacks_.stack().high - at - pt_regs_bytes <= max_padding;
  const bool thread_start = at_top && frame->rip == 0 && frame->cs == 0 && frame->rsp == 0;
  const bool is_proven = proven(*frame, at + interrupt_frame_offset);
  if (!thread_start && !is_proven) return Step::no_rule;
  if (is_proven) scanned_ = false;  // what the CPU itself wrote down is no guess
  return enter_context(at, true, true);
}

Walk::Step Walk::by_frame_pointer() {
  const std::optional<uint64_t> rbp = regs_.get(r::rbp);
  if (!rbp || scanned_) return Step::no_rule;
  const bool came_by_record = trace_.frames.back().trust == Trust::frame_record;
  // Entry code leaves the address of its pt_regs in rbp, marked by bit 0 (ENCODE_FRAME_POINTER).
  if ((*rbp & 1) != 0) {
    const auto frame = memory_.load<InterruptFrame>(VirtAddr{*rbp - 1 + interrupt_frame_offset});
    const bool thread_start = came_by_record && frame && frame->rip == 0 && frame->cs == 0;
    if (!frame || !(plausible(*frame, code_) || thread_start)) return Step::no_rule;
    return enter_context(*rbp - 1, true, true);
  }
  const std::optional<uint64_t> function = code_.function_start(rule_pc());
  if (function) {
    const std::optional<uint64_t> push = frame_prologue(memory_, *function);
    if (!push) return Step::no_rule;
    const uint64_t offset = rule_pc() - *function;
    // Interrupted before the record was complete: the return address is on top, or below the pushed rbp.
    if (is_context_ && !is_return_address_ && offset <= *push + 1) {
      return return_to_caller(reg(r::rsp) + (offset > *push ? word : 0), rbp, Trust::frame_record);
    }
  }
  if (*rbp % word != 0 || (*rbp < reg(r::rsp) && stacks_.name_of(*rbp) == stacks_.name_of(reg(r::rsp)))) {
    return Step::no_rule;
  }
  const std::optional<uint64_t> saved = memory_.u64(VirtAddr{*rbp}),
                                address = memory_.u64(VirtAddr{*rbp + word});
  if (!saved || !address || !call_before(memory_, code_, *address)) return Step::no_rule;
  return return_to_caller(*rbp + word, saved, Trust::frame_record);
}

Walk::Step Walk::by_call_target() {
  // Kernels are built with a warning for frames over 2 KiB (CONFIG_FRAME_WARN).
  constexpr uint64_t largest_frame = 2048 + 64;
  const uint64_t low = lowest_word();
  const std::optional<uint64_t> rbp = regs_.get(r::rbp);
  for (uint64_t slot = low; slot - low < largest_frame; slot += word) {
    const std::optional<uint64_t> value = memory_.u64(VirtAddr{slot});
    if (!value) break;
    if (!code_.known_code(*value - 1)) continue;
    const std::optional<CallSite> call = call_before(memory_, code_, *value);
    if (!call || !call->target || !code_.is_entry_of(*call->target, rule_pc())) continue;
    const Step step = return_to_caller(slot, rbp, Trust::inferred);
    rbp_guessed_ = step == Step::moved && rbp;
    return step;
  }
  return Step::no_rule;
}

// The next word that is an address behind a call, or the next interrupt frame, from the stack pointer on. An
// interrupt stack ends with the pointer to the stack it was entered from.
Walk::Step Walk::by_scan() {
  uint64_t at = lowest_word();
  if (std::optional<std::string> why = stacks_.consume(at, 0)) {
    uint8_t first = 0;
    const ReadResult read = memory_.read(VirtAddr{at}, {&first, 1});
    return fail(fmt::format("the stack pointer {:#x} {}{}", at, *why,
                            read ? "" : fmt::format(" ({})", to_string(read.status))));
  }
  const uint64_t high = stacks_.stack().high;
  const std::string stack = stacks_.stack().name;
  for (; at < high; at += word) {
    const std::optional<uint64_t> value = memory_.u64(VirtAddr{at});
    if (!value) return fail(fmt::format("the stack cannot be read at {:#x}", at));
    const auto frame = memory_.load<InterruptFrame>(VirtAddr{at});
    if (frame && high - at >= sizeof(InterruptFrame) && proven(*frame, at)) {
      scanned_ = false;
      const bool whole = at - interrupt_frame_offset >= reg(r::rsp);
      return enter_context(whole ? at - interrupt_frame_offset : at, whole, true);
    }
    if (!code_.known_code(*value) || !call_before(memory_, code_, *value)) continue;
    if (!any_scan_) {
      trace_.problems.push_back(fmt::format(
          "a stack was scanned for return addresses, some of which may be left over from earlier calls{}{}",
          orc_.why_not().empty() ? "" : ": ", orc_.why_not()));
    }
    scanned_ = any_scan_ = true;
    return return_to_caller(at, std::nullopt, Trust::scan);
  }
  if (stack == "irq") {
    const std::optional<uint64_t> previous = memory_.u64(VirtAddr{high - word});
    if (previous && *previous % word == 0 && !stacks_.consume(*previous, 0)) {
      regs_ = Registers{};
      regs_.set(r::rsp, *previous);
      return by_scan();
    }
  }
  // Frame records of an idle task end with a null pointer, above which nothing was called.
  if (regs_.get(r::rbp) == 0 && trace_.frames.back().trust == Trust::frame_record) {
    return stop("thread start", true);
  }
  return fail(fmt::format("the {} stack was scanned to its end", stack));
}

class X86Unwinder final : public Unwinder {
 public:
  const Arch& arch() const override { return x86_64(); }
  Backtrace walk(Kernel& kernel, const Registers& start, const StackSet& stacks, const UnwindAids& aids,
                 size_t limit) const override {
    return Walk(kernel, stacks, aids).run(start, limit);
  }
  void add_cpu_stacks(Kernel& kernel, unsigned cpu, StackSet& stacks) const override {
    add_x86_64_stacks(kernel, cpu, stacks);
  }
  std::optional<Registers> sleeping_task_registers(Kernel& kernel, VirtAddr task) const override {
    return x86_64_sleeping_registers(kernel, task);
  }
};

}  // namespace

const Unwinder& x86_64_unwinder() {
  static const X86Unwinder instance;
  return instance;
}

}  // namespace kdk
