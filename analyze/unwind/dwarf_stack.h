// The stack of a DWARF expression, and the operations that need nothing but it: DWARF 5, 2.5.1.3 (stack)
// and 2.5.1.4 (arithmetic, on 64-bit words). Call frame information and locations of variables have both
// their machine around it.
#pragma once

#include <elfutils/libdw.h>

#include <array>
#include <cstddef>
#include <cstdint>

namespace kdk {

class DwarfStack {
 public:
  static constexpr size_t max_depth = 64;
  static constexpr size_t max_steps = 1000;  // of an expression: branches can go backwards

  // Too deep, or more was taken than was there, or divided by zero: what comes then means nothing.
  bool broken() const { return broken_; }
  bool empty() const { return depth_ == 0; }
  void clear() { depth_ = 0; }

  void push(uint64_t value);
  uint64_t pop();
  // Does one of these operations. False: `op` is none of them, and nothing was done.
  bool apply(const Dwarf_Op& op);

 private:
  void pick(uint64_t index);
  void combine(uint8_t atom, uint64_t left, uint64_t right);

  std::array<uint64_t, max_depth> words_{};
  size_t depth_ = 0;
  bool broken_ = false;
};

// Where DW_OP_skip or DW_OP_bra goes: an offset in the expression. It counts from behind the operation's
// three bytes.
uint64_t branch_target(const Dwarf_Op& op);

}  // namespace kdk
