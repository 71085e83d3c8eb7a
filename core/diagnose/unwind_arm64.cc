// arm64 kernels are built with frame pointers: x29 points at a record {x29 of the caller, return address},
// and every record lies on one of a few stacks. The walk follows them under the kernel's own rules: a record
// must lie inside a known stack, above what was already consumed of it, and a stack once left is never
// entered again. That bounds the walk and makes loops impossible.
//
// Exceptions: entry code pushes a struct pt_regs whose embedded record continues the chain.
//  - Since v6.13 that record is {0, 0, type} (arch/arm64/include/asm/stacktrace/frame.h, struct
//    frame_record_meta): type FINAL ends the stack, type PT_REGS continues with the registers around it.
//  - Before, it is {x29, pc} of the interrupted code, like any other record. It is proven to be one by its
//    surroundings: at record - offsetof(pt_regs, stackframe) there are registers with the same x29 and pc, a
//    kernel mode in pstate and an sp just above themselves. No symbol or list of handlers is needed.
// Source: arch/arm64/kernel/stacktrace.c, entry.S (kernel_entry), head.S (init_cpu_task).
#include "core/diagnose/unwind_arm64.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <vector>

#include "core/diagnose/stack_cursor.h"
#include "core/diagnose/unwinder.h"

namespace kdk {
namespace {

struct FrameRecord {
  ul64 fp;
  ul64 lr;
};

constexpr uint64_t instruction_size = 4;
// offsetof(struct pt_regs, stackframe): 304 up to v6.12, 296 since the record grew to three words in v6.13.
constexpr std::array<uint64_t, 2> stackframe_offsets = {304, 296};
// What can lie between the embedded record and the end of pt_regs (third word, lockdep_hardirqs, exit_rcu,
// padding), generously: sp of the interrupted code must be within this above the record.
constexpr uint64_t max_behind_record = 64;
constexpr uint64_t meta_pt_regs = 2;  // FRAME_META_TYPE_PT_REGS

// BL, BLR and the authenticating BLRAA, BLRAB, BLRAAZ, BLRABZ (Arm ARM C6.2).
bool is_call(uint32_t insn) {
  return (insn & 0xfc000000) == 0x94000000 || (insn & 0xfffffc1f) == 0xd63f0000 ||
         (insn & 0xfefff800) == 0xd63f0800;
}

// Target of a BL at `address`.
std::optional<uint64_t> branch_target(uint32_t insn, uint64_t address) {
  if ((insn & 0xfc000000) != 0x94000000) return std::nullopt;
  uint64_t words = insn & 0x03ffffff;
  if (words & 0x02000000) words |= ~uint64_t{0x03ffffff};
  return address + words * instruction_size;
}

class Walk {
 public:
  Walk(Kernel& kernel, const StackSet& stacks)
      : kernel_(kernel),
        memory_(kernel.memory()),
        arch_(memory_.arch()),
        roles_(arch_.roles()),
        stacks_(memory_, stacks) {
    std::optional<Layout::Field> field = kernel.layout().field("pt_regs", "stackframe");
    if (field) {
      offsets_ = {field->offset};
    } else {
      offsets_.assign(stackframe_offsets.begin(), stackframe_offsets.end());
    }
  }

  Backtrace run(const Registers& start, size_t limit);

 private:
  uint64_t strip(uint64_t address) const { return arch_.strip(address, memory_.layout()).value; }
  std::optional<Registers> pt_regs_at(uint64_t address);
  struct Boundary {
    uint64_t address;  // of the pt_regs
    Registers registers;
  };
  std::optional<Boundary> prove_exception(uint64_t record_address, const FrameRecord& record);
  void add_context(const Registers& registers, FrameKind kind, std::optional<uint64_t> at);
  void add_link_register(const Registers& registers);
  void end_at_final_record(uint64_t record_address);
  bool executable(uint64_t pc);
  void stop(std::string why, bool complete = false) {
    trace_.end = std::move(why);
    trace_.complete = complete;
  }

  Kernel& kernel_;
  KernelMemory& memory_;
  const Arch& arch_;
  const RegisterRoles& roles_;
  std::vector<uint64_t> offsets_;
  StackCursor stacks_;
  Backtrace trace_;
};

Backtrace Walk::run(const Registers& start, size_t limit) {
  add_context(start, FrameKind::call, std::nullopt);
  uint64_t fp = strip(start.get(roles_.frame_pointer).value_or(0));
  while (trace_.end.empty()) {
    if (trace_.frames.size() >= limit) {
      stop(fmt::format("more than {} frames", limit));
      break;
    }
    if (fp == 0) {
      // Kernels before v5.10 end a chain with x29 = 0 instead of a final record.
      bool first = trace_.frames.size() <= 1;
      stop(first ? "no frame pointer" : "thread start or user mode", !first);
      break;
    }
    if (fp % 8 != 0) {
      stop(fmt::format("frame pointer {:#x} is not aligned", fp));
      break;
    }
    std::array<uint8_t, sizeof(FrameRecord)> bytes{};
    ReadResult read = memory_.read(VirtAddr{fp}, bytes);
    if (!read) {
      stop(fmt::format("frame record at {:#x}: {}", fp, to_string(read.status)));
      break;
    }
    if (std::optional<std::string> why = stacks_.consume(fp, sizeof(FrameRecord))) {
      stop(fmt::format("frame record at {:#x} {}", fp, *why));
      break;
    }
    FrameRecord record = *load<FrameRecord>(bytes);

    if (std::optional<Boundary> boundary = prove_exception(fp, record)) {
      add_context(boundary->registers, FrameKind::exception, boundary->address);
      fp = strip(boundary->registers.get(roles_.frame_pointer).value_or(0));
      continue;
    }
    if (record.fp == 0 && record.lr == 0) {
      end_at_final_record(fp);
      break;
    }
    Frame frame;
    frame.pc = strip(record.lr);
    frame.trust = Trust::frame_record;
    frame.pc_is_return_address = true;
    frame.at = fp;
    frame.stack = stacks_.stack().name;
    trace_.frames.push_back(std::move(frame));
    fp = strip(record.fp);
  }
  return std::move(trace_);
}

std::optional<Registers> Walk::pt_regs_at(uint64_t address) {
  std::vector<uint8_t> bytes(arch_.pt_regs_size());
  if (!memory_.read(VirtAddr{address}, bytes)) return std::nullopt;
  return arch_.registers_from_pt_regs(bytes);
}

std::optional<Walk::Boundary> Walk::prove_exception(uint64_t record_address, const FrameRecord& record) {
  bool is_meta = record.fp == 0 && record.lr == 0;
  if (is_meta) {
    // Before v6.13 the word behind a final record is stale; then the checks below refuse it.
    std::optional<uint64_t> type = memory_.u64(VirtAddr{record_address} + sizeof(FrameRecord));
    if (type != meta_pt_regs) return std::nullopt;
  }
  for (uint64_t offset : offsets_) {
    if (record_address < offset) continue;
    uint64_t address = record_address - offset;
    std::optional<Registers> registers = pt_regs_at(address);
    if (!registers || arch_.user_mode(*registers)) continue;
    uint64_t sp = registers->get(roles_.sp).value_or(0);
    uint64_t behind = record_address + sizeof(FrameRecord);
    if (sp < behind || sp - behind > max_behind_record) continue;
    bool same = registers->get(roles_.frame_pointer) == record.fp && registers->get(roles_.pc) == record.lr;
    if (is_meta || same) return Boundary{address, *registers};
  }
  return std::nullopt;
}

// pc cannot be executed: nothing is mapped there, or data is. Where nothing has a name, code (BPF,
// trampolines) is told from data (stacks, slabs) by the page tables.
bool Walk::executable(uint64_t pc) {
  if (pc % instruction_size != 0 || !memory_.translate(VirtAddr{pc})) return false;
  if (std::optional<SymbolHit> hit = kernel_.symbols().lookup(pc)) return hit->symbol.text();
  const std::vector<Translator::Step> steps = memory_.translator().steps(std::nullopt, VirtAddr{pc});
  return std::ranges::none_of(steps, [](const Translator::Step& step) {
    return std::ranges::find(step.flags, step.kind == Translator::Step::Kind::leaf ? "pxn" : "pxn-table") !=
           step.flags.end();
  });
}

// The frame of a whole register set, and what its link register says about the caller.
void Walk::add_context(const Registers& registers, FrameKind kind, std::optional<uint64_t> at) {
  Frame frame;
  frame.pc = strip(registers.get(roles_.pc).value_or(0));
  frame.kind = kind;
  frame.trust = Trust::registers;
  frame.at = at;
  frame.stack = stacks_.name_of(strip(registers.get(roles_.sp).value_or(0)));
  if (kind == FrameKind::exception) frame.registers = registers;
  trace_.frames.push_back(std::move(frame));
  add_link_register(registers);
}

// Between a call and the callee's prologue the caller is only in x30, and the next frame record is the
// caller's caller.
//  - pc cannot be executed: nothing there made a frame, so x30 is the return address of the bad call.
//  - pc's function was called by a BL to its first instruction right before x30, and its record (if it has
//    one) does not hold x30: it is a leaf or has not stored its record yet. x30 inside the same function
//    would be a stale value.
void Walk::add_link_register(const Registers& registers) {
  if (!roles_.link) return;
  uint64_t pc = trace_.frames.back().pc;
  uint64_t link = strip(registers.get(*roles_.link).value_or(0));
  if (link < instruction_size || !executable(link)) return;
  std::optional<uint32_t> insn = memory_.u32(VirtAddr{link - instruction_size});
  if (!insn || !is_call(*insn)) return;

  Frame frame;
  frame.pc = link;
  frame.pc_is_return_address = true;
  frame.stack = trace_.frames.back().stack;
  if (!executable(pc)) {
    frame.kind = FrameKind::bad_call;
    frame.trust = Trust::registers;
    trace_.frames.push_back(std::move(frame));
    return;
  }
  std::optional<SymbolHit> function = kernel_.symbols().lookup(pc);
  std::optional<uint64_t> target = branch_target(*insn, link - instruction_size);
  if (!function || target != function->symbol.address) return;
  uint64_t fp = strip(registers.get(roles_.frame_pointer).value_or(0));
  std::optional<uint64_t> saved = memory_.u64(VirtAddr{fp + sizeof(ul64)});
  if (saved && strip(*saved) == link) return;  // the record is this function's own
  frame.kind = FrameKind::lr_candidate;
  frame.trust = Trust::inferred;
  trace_.frames.push_back(std::move(frame));
}

// {0, 0}: the record inside task_pt_regs(), at the top of a task's stack. User registers around it mean the
// task came from user mode.
void Walk::end_at_final_record(uint64_t record_address) {
  const StackRange& stack = stacks_.stack();
  bool at_top = stack.high - record_address <= sizeof(FrameRecord) + max_behind_record;
  bool from_user = false;
  for (uint64_t offset : offsets_) {
    if (record_address < offset) continue;
    std::optional<Registers> registers = pt_regs_at(record_address - offset);
    if (registers && arch_.user_mode(*registers) && registers->get(roles_.pc).value_or(0) != 0)
      from_user = true;
  }
  if (!at_top) {
    stop(fmt::format("empty frame record at {:#x}, below the top of the stack", record_address));
    return;
  }
  stop(from_user ? "user mode" : "thread start", true);
}

class Arm64Unwinder final : public Unwinder {
 public:
  const Arch& arch() const override { return arm64(); }
  Backtrace walk(Kernel& kernel, const Registers& start, const StackSet& stacks, const UnwindAids&,
                 size_t limit) const override {
    return Walk(kernel, stacks).run(start, limit);
  }
  void add_cpu_stacks(Kernel& kernel, unsigned cpu, StackSet& stacks) const override {
    add_arm64_stacks(kernel, cpu, stacks);
  }
  // struct cpu_context of thread_struct: x19 to x28, fp, sp, pc (arch/arm64/include/asm/processor.h), written
  // by cpu_switch_to() (entry.S).
  std::optional<Registers> sleeping_task_registers(Kernel& kernel, VirtAddr task) const override {
    std::optional<uint64_t> offset = kernel.layout().offset("task_struct", "thread.cpu_context");
    if (!offset) return std::nullopt;
    const std::optional<std::array<ul64, 13>> saved =
        kernel.memory().load<std::array<ul64, 13>>(task + *offset);
    if (!saved) return std::nullopt;
    const RegisterRoles& roles = arch().roles();
    Registers registers;
    for (size_t i = 0; i < 10; ++i) registers.set(19 + i, (*saved)[i]);
    registers.set(roles.frame_pointer, (*saved)[10]);
    registers.set(roles.sp, (*saved)[11]);
    registers.set(roles.pc, (*saved)[12]);
    return registers;
  }
};

}  // namespace

const Unwinder& arm64_unwinder() {
  static const Arm64Unwinder instance;
  return instance;
}

}  // namespace kdk
