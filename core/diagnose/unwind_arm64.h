// The frame-record walk of arm64, behind unwind_from_registers().
#pragma once

#include "core/diagnose/unwind.h"

namespace kdk {

Backtrace walk_arm64_frames(Kernel& kernel, const Registers& start, const StackSet& stacks, size_t limit);

}  // namespace kdk
