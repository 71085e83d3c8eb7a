// Walks a kernel stack: stack bounds, consumed-stack rule and proven exception boundaries are common, the
// rules by which a frame leads to its caller are the architecture's (unwinder.h). Needs no symbols where the
// architecture has frame records; names are added when a symbol table is there.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/diagnose/frame.h"
#include "core/kernel/kernel.h"

namespace kdk {

class OrcTable;

// One kernel stack: [low, high).
struct StackRange {
  uint64_t low = 0;
  uint64_t high = 0;
  // "task", "irq"; arm64: "overflow", "sdei", "efi"; x86-64: "nmi", "df", "db", "mce", "vc", "vc2", "entry"
  std::string name;
};

// What the walk knows of the stacks it may meet. With no range for an address, bounds are inferred from
// mapped memory around it (vmalloc guard pages end a VMAP_STACK), and the range is named "?".
struct StackSet {
  std::vector<StackRange> ranges;
  uint64_t task = 0;  // task_struct whose stack is among them; 0 when it is not known
};

// Call frame information that the dump does not have: DWARF .debug_frame or .eh_frame of a vmlinux, at
// run-time addresses.
class CallFrameInfo {
 public:
  virtual ~CallFrameInfo() = default;
  struct Caller {
    Registers registers;       // of the caller; what the callee may have clobbered is not known
    bool interrupted = false;  // a signal frame: the caller's pc is where it was interrupted, not a return
                               // address
    bool outermost = false;    // the return address is undefined: nobody called this
  };
  // The caller of the frame with these registers. `pc_is_return_address`: the rule is that of the call,
  // pc - 1. nullopt when no rule covers the pc, or a register or memory that the rule needs is not known.
  // Never throws.
  virtual std::optional<Caller> caller(KernelMemory& memory, const Registers& frame,
                                       bool pc_is_return_address) = 0;
};

// What helps a walk and does not come from the dump. Both may be null, and must outlive the walk.
struct UnwindAids {
  CallFrameInfo* cfi = nullptr;
  OrcTable* orc = nullptr;  // of the kernel image (orc.h); used for what the dump's own tables lack
};

// Starts from registers (a CPU at the crash, or a pt_regs). At most `limit` frames. Never throws for what is
// in the dump: Backtrace::end says why the walk ended.
Backtrace unwind_from_registers(Kernel& kernel, const Registers& start, const StackSet& stacks,
                                const UnwindAids& aids = {}, size_t limit = 256);

// Registers with which a task that is not running will continue: pc, sp and what the switch saved. nullopt
// when the layouts or the memory for that are missing, or the task has exited and has no stack any more.
std::optional<Registers> sleeping_task_registers(Kernel& kernel, VirtAddr task);
// The one stack a task that is not running can be on; empty when its task_struct cannot be read.
StackSet task_stack(Kernel& kernel, VirtAddr task);

// Names pc of every frame from the kernel's symbol table, and sets module and image_offset.
void symbolise(Kernel& kernel, Backtrace& trace);

}  // namespace kdk
