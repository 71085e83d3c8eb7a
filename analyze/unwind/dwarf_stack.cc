#include "analyze/unwind/dwarf_stack.h"

#include <dwarf.h>

#include <algorithm>

namespace kdk {

void DwarfStack::push(uint64_t value) {
  if (depth_ == max_depth) {
    broken_ = true;
    return;
  }
  words_[depth_++] = value;
}

uint64_t DwarfStack::pop() {
  if (depth_ == 0) {
    broken_ = true;
    return 0;
  }
  return words_[--depth_];
}

// The entry `index` below the top.
void DwarfStack::pick(uint64_t index) {
  if (index >= depth_) {
    broken_ = true;
    return;
  }
  push(words_[depth_ - 1 - index]);
}

bool DwarfStack::apply(const Dwarf_Op& op) {
  if (op.atom >= DW_OP_lit0 && op.atom <= DW_OP_lit31) {
    push(uint64_t{op.atom} - DW_OP_lit0);
    return true;
  }
  switch (op.atom) {
    case DW_OP_nop:
      return true;
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
      push(op.number);  // libdw has extended the sign
      return true;
    case DW_OP_plus_uconst:
      push(pop() + op.number);
      return true;
    case DW_OP_dup:
      pick(0);
      return true;
    case DW_OP_over:
      pick(1);
      return true;
    case DW_OP_pick:
      pick(op.number);
      return true;
    case DW_OP_drop:
      pop();
      return true;
    case DW_OP_swap: {
      const uint64_t top = pop(), second = pop();
      push(top);
      push(second);
      return true;
    }
    case DW_OP_rot: {
      const uint64_t top = pop(), second = pop(), third = pop();
      push(top);
      push(third);
      push(second);
      return true;
    }
    case DW_OP_neg:
      push(-pop());
      return true;
    case DW_OP_not:
      push(~pop());
      return true;
    case DW_OP_abs: {
      const uint64_t value = pop();
      push(value >> 63 ? -value : value);
      return true;
    }
    case DW_OP_and:
    case DW_OP_or:
    case DW_OP_xor:
    case DW_OP_plus:
    case DW_OP_minus:
    case DW_OP_mul:
    case DW_OP_div:
    case DW_OP_mod:
    case DW_OP_shl:
    case DW_OP_shr:
    case DW_OP_shra:
    case DW_OP_eq:
    case DW_OP_ne:
    case DW_OP_lt:
    case DW_OP_le:
    case DW_OP_gt:
    case DW_OP_ge: {
      const uint64_t right = pop(), left = pop();
      combine(op.atom, left, right);
      return true;
    }
    default:
      return false;
  }
}

void DwarfStack::combine(uint8_t atom, uint64_t left, uint64_t right) {
  const auto a = static_cast<int64_t>(left), b = static_cast<int64_t>(right);
  switch (atom) {
    case DW_OP_and:
      return push(left & right);
    case DW_OP_or:
      return push(left | right);
    case DW_OP_xor:
      return push(left ^ right);
    case DW_OP_plus:
      return push(left + right);
    case DW_OP_minus:
      return push(left - right);
    case DW_OP_mul:
      return push(left * right);
    case DW_OP_div:
      if (b == 0 || (a == INT64_MIN && b == -1)) {
        broken_ = true;
        return;
      }
      return push(static_cast<uint64_t>(a / b));
    case DW_OP_mod:
      if (right == 0) {
        broken_ = true;
        return;
      }
      return push(left % right);
    case DW_OP_shl:
      return push(right < 64 ? left << right : 0);
    case DW_OP_shr:
      return push(right < 64 ? left >> right : 0);
    case DW_OP_shra:
      return push(static_cast<uint64_t>(a >> std::min<uint64_t>(right, 63)));
    case DW_OP_eq:
      return push(a == b);
    case DW_OP_ne:
      return push(a != b);
    case DW_OP_lt:
      return push(a < b);
    case DW_OP_le:
      return push(a <= b);
    case DW_OP_gt:
      return push(a > b);
    default:  // DW_OP_ge
      return push(a >= b);
  }
}

uint64_t branch_target(const Dwarf_Op& op) {
  return op.offset + 3 + static_cast<uint64_t>(int64_t{static_cast<int16_t>(op.number)});
}

}  // namespace kdk
