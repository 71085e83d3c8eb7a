#include "analyze/unwind/expression.h"

#include <dwarf.h>

#include <algorithm>
#include <array>

namespace kdk {
namespace {

constexpr size_t max_stack = 64;
constexpr size_t max_steps = 1000;  // branches can go backwards

class Machine {
 public:
  Machine(std::span<const Dwarf_Op> ops, const ExpressionContext& context) : ops_(ops), context_(context) {}

  std::optional<ExpressionResult> run() {
    size_t steps = 0;
    while (next_ < ops_.size()) {
      if (++steps > max_steps) return std::nullopt;
      const Dwarf_Op& op = ops_[next_++];
      if (op.atom == DW_OP_stack_value) {
        is_value_ = true;
        break;
      }
      step(op);
      if (failed_) return std::nullopt;
    }
    uint64_t value = pop();
    if (failed_) return std::nullopt;
    return ExpressionResult{value, is_value_};
  }

 private:
  void push(uint64_t value) {
    if (depth_ == max_stack) {
      failed_ = true;
      return;
    }
    stack_[depth_++] = value;
  }
  void push(std::optional<uint64_t> value) {
    if (!value) {
      failed_ = true;
      return;
    }
    push(*value);
  }
  uint64_t pop() {
    if (depth_ == 0) {
      failed_ = true;
      return 0;
    }
    return stack_[--depth_];
  }
  // The entry `index` below the top.
  void pick(uint64_t index) {
    if (index >= depth_) {
      failed_ = true;
      return;
    }
    push(stack_[depth_ - 1 - index]);
  }

  void step(const Dwarf_Op& op) {
    if (op.atom >= DW_OP_lit0 && op.atom <= DW_OP_lit31) return push(uint64_t{op.atom} - DW_OP_lit0);
    if (op.atom >= DW_OP_breg0 && op.atom <= DW_OP_breg31) {
      return push_register(op.atom - DW_OP_breg0, op.number);
    }
    // A register as a location: its content is the value.
    if (op.atom >= DW_OP_reg0 && op.atom <= DW_OP_reg31) {
      is_value_ = true;
      return push_register(op.atom - DW_OP_reg0, 0);
    }
    switch (op.atom) {
      case DW_OP_nop:
        return;
      case DW_OP_regx:
        is_value_ = true;
        return push_register(op.number, 0);
      case DW_OP_bregx:
        return push_register(op.number, op.number2);
      case DW_OP_call_frame_cfa:
        return push(context_.cfa);
      case DW_OP_addr:
        return push(op.number + context_.load_offset);
      case DW_OP_const1u:
      case DW_OP_const1s:
      case DW_OP_const2u:
      case DW_OP_const2s:
      case DW_OP_const4u:
      case DW_OP_const4s:
      case DW_OP_const8u:
      case DW_OP_const8s:
      case DW_OP_constu:
      case DW_OP_consts:
        return push(op.number);  // libdw has extended the sign
      case DW_OP_plus_uconst:
        return push(pop() + op.number);
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
        return rearrange_or_calculate(op);
    }
  }

  void rearrange_or_calculate(const Dwarf_Op& op) {
    switch (op.atom) {
      case DW_OP_dup:
        return pick(0);
      case DW_OP_over:
        return pick(1);
      case DW_OP_pick:
        return pick(op.number);
      case DW_OP_drop:
        pop();
        return;
      case DW_OP_swap: {
        uint64_t top = pop(), second = pop();
        push(top);
        return push(second);
      }
      case DW_OP_rot: {
        uint64_t top = pop(), second = pop(), third = pop();
        push(top);
        push(third);
        return push(second);
      }
      case DW_OP_neg:
        return push(-pop());
      case DW_OP_not:
        return push(~pop());
      case DW_OP_abs: {
        uint64_t value = pop();
        return push(value >> 63 ? -value : value);
      }
      default: {
        uint64_t right = pop(), left = pop();
        return push(calculate(op.atom, left, right));
      }
    }
  }

  static std::optional<uint64_t> calculate(uint8_t atom, uint64_t left, uint64_t right) {
    auto a = static_cast<int64_t>(left), b = static_cast<int64_t>(right);
    switch (atom) {
      case DW_OP_and:
        return left & right;
      case DW_OP_or:
        return left | right;
      case DW_OP_xor:
        return left ^ right;
      case DW_OP_plus:
        return left + right;
      case DW_OP_minus:
        return left - right;
      case DW_OP_mul:
        return left * right;
      case DW_OP_div:
        if (b == 0 || (a == INT64_MIN && b == -1)) return std::nullopt;
        return static_cast<uint64_t>(a / b);
      case DW_OP_mod:
        return right == 0 ? std::nullopt : std::optional(left % right);
      case DW_OP_shl:
        return right < 64 ? left << right : 0;
      case DW_OP_shr:
        return right < 64 ? left >> right : 0;
      case DW_OP_shra:
        return static_cast<uint64_t>(a >> std::min<uint64_t>(right, 63));
      case DW_OP_eq:
        return a == b;
      case DW_OP_ne:
        return a != b;
      case DW_OP_lt:
        return a < b;
      case DW_OP_le:
        return a <= b;
      case DW_OP_gt:
        return a > b;
      case DW_OP_ge:
        return a >= b;
      default:
        return std::nullopt;
    }
  }

  void push_register(uint64_t number, uint64_t offset) {
    std::optional<uint64_t> value = context_.registers.get(number);
    push(value ? std::optional(*value + offset) : std::nullopt);
  }

  void load(uint64_t size) {
    VirtAddr address{pop()};
    if (failed_) return;
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

  // The operand counts from behind the three bytes of the operation.
  void branch(const Dwarf_Op& op) {
    uint64_t target = op.offset + 3 + static_cast<uint64_t>(int64_t{static_cast<int16_t>(op.number)});
    auto found =
        std::find_if(ops_.begin(), ops_.end(), [&](const Dwarf_Op& o) { return o.offset == target; });
    // The end of the expression is a place to go, too, but no call frame information needs it.
    if (found == ops_.end()) failed_ = true;
    next_ = static_cast<size_t>(found - ops_.begin());
  }

  std::span<const Dwarf_Op> ops_;
  const ExpressionContext& context_;
  size_t next_ = 0;
  std::array<uint64_t, max_stack> stack_{};
  size_t depth_ = 0;
  bool is_value_ = false;
  bool failed_ = false;
};

}  // namespace

std::optional<ExpressionResult> evaluate(std::span<const Dwarf_Op> ops, const ExpressionContext& context) {
  return Machine(ops, context).run();
}

}  // namespace kdk
