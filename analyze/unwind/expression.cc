#include "analyze/unwind/expression.h"

#include <dwarf.h>

#include <algorithm>

#include "analyze/unwind/dwarf_stack.h"

namespace kdk {
namespace {

class Machine {
 public:
  Machine(std::span<const Dwarf_Op> ops, const ExpressionContext& context) : ops_(ops), context_(context) {}

  std::optional<ExpressionResult> run() {
    size_t steps = 0;
    while (next_ < ops_.size()) {
      if (++steps > DwarfStack::max_steps) return std::nullopt;
      const Dwarf_Op& op = ops_[next_++];
      if (op.atom == DW_OP_stack_value) {
        is_value_ = true;
        break;
      }
      step(op);
      if (failed_ || stack_.broken()) return std::nullopt;
    }
    uint64_t value = stack_.pop();
    if (stack_.broken()) return std::nullopt;
    return ExpressionResult{value, is_value_};
  }

 private:
  void push(uint64_t value) { stack_.push(value); }
  void push(std::optional<uint64_t> value) {
    if (!value) {
      failed_ = true;
      return;
    }
    push(*value);
  }
  uint64_t pop() { return stack_.pop(); }

  void step(const Dwarf_Op& op) {
    if (op.atom >= DW_OP_breg0 && op.atom <= DW_OP_breg31) {
      return push_register(op.atom - DW_OP_breg0, op.number);
    }
    // A register as a location: its content is the value.
    if (op.atom >= DW_OP_reg0 && op.atom <= DW_OP_reg31) {
      is_value_ = true;
      return push_register(op.atom - DW_OP_reg0, 0);
    }
    switch (op.atom) {
      case DW_OP_regx:
        is_value_ = true;
        return push_register(op.number, 0);
      case DW_OP_bregx:
        return push_register(op.number, op.number2);
      case DW_OP_call_frame_cfa:
        return push(context_.cfa);
      case DW_OP_addr:
        return push(op.number + context_.load_offset);
      case DW_OP_deref:
        return load(8);
      case DW_OP_deref_size:
        return load(op.number);
      case DW_OP_skip:
        return branch(op);
      case DW_OP_bra:
        if (pop() != 0) branch(op);
        return;
      default:
        if (!stack_.apply(op)) failed_ = true;
    }
  }

  void push_register(uint64_t number, uint64_t offset) {
    std::optional<uint64_t> value = context_.registers.get(number);
    push(value ? std::optional(*value + offset) : std::nullopt);
  }

  void load(uint64_t size) {
    VirtAddr address{pop()};
    if (stack_.broken()) return;
    KernelMemory& memory = context_.memory;
    switch (size) {
      case 1:
        return push(std::optional<uint64_t>(memory.u8(address)));
      case 2:
        return push(std::optional<uint64_t>(memory.u16(address)));
      case 4:
        return push(std::optional<uint64_t>(memory.u32(address)));
      case 8:
        return push(memory.u64(address));
      default:
        failed_ = true;
    }
  }

  void branch(const Dwarf_Op& op) {
    const uint64_t target = branch_target(op);
    auto found =
        std::find_if(ops_.begin(), ops_.end(), [&](const Dwarf_Op& o) { return o.offset == target; });
    // The end of the expression is a place to go, too, but no call frame information needs it.
    if (found == ops_.end()) failed_ = true;
    next_ = static_cast<size_t>(found - ops_.begin());
  }

  std::span<const Dwarf_Op> ops_;
  const ExpressionContext& context_;
  size_t next_ = 0;
  DwarfStack stack_;
  bool is_value_ = false;
  bool failed_ = false;
};

}  // namespace

std::optional<ExpressionResult> evaluate(std::span<const Dwarf_Op> ops, const ExpressionContext& context) {
  return Machine(ops, context).run();
}

}  // namespace kdk
