// DWARF expressions as call frame information uses them (DWARF 5 sections 2.5 and 6.4.2.3): a stack machine
// over registers and memory of the dump. Bounded, whatever the file says.
#pragma once

#include <elfutils/libdw.h>

#include <cstdint>
#include <optional>
#include <span>

#include "core/arch/arch.h"
#include "core/kernel/memory.h"

namespace kdk {

// What an expression may ask for.
struct ExpressionContext {
  KernelMemory& memory;
  const Registers& registers;                  // of the frame; general registers are numbered as in DWARF
  uint64_t load_offset = 0;                    // run-time address - link address, for DW_OP_addr
  std::optional<uint64_t> cfa = std::nullopt;  // for DW_OP_call_frame_cfa
};

struct ExpressionResult {
  uint64_t value = 0;
  bool is_value = false;  // DW_OP_stack_value or a register: the value itself; else an address in memory
};

// `initial` is pushed first. nullopt when the expression is malformed, needs an unknown register or
// unreadable memory, uses an operation that call frame information has no use for, or runs too long. Never
// throws.
std::optional<ExpressionResult> evaluate(std::span<const Dwarf_Op> ops, const ExpressionContext& context);

}  // namespace kdk
