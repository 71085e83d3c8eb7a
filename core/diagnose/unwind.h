// Walks a kernel stack by frame records, with stack bounds, consumed-stack rule and proven exception
// boundaries. Needs no symbols; names are added when a symbol table is there. Source:
// arch/arm64/kernel/stacktrace.c.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/diagnose/frame.h"
#include "core/kernel/kernel.h"

namespace kdk {

// One kernel stack: [low, high).
struct StackRange {
  uint64_t low = 0;
  uint64_t high = 0;
  std::string name;  // "task", "irq", "overflow", "sdei", "efi"
};

// What the walk knows of the stacks it may meet. With no range for an address, bounds are inferred from
// mapped memory around it (vmalloc guard pages end a VMAP_STACK), and the range is named "?".
struct StackSet {
  std::vector<StackRange> ranges;
};

// Starts from registers (a CPU at the crash, or a pt_regs).
Backtrace unwind_from_registers(Kernel& kernel, const Registers& start, const StackSet& stacks,
                                size_t limit = 256);

// Names pc of every frame from the kernel's symbol table, and sets module and image_offset.
void symbolise(Kernel& kernel, Backtrace& trace);

}  // namespace kdk
