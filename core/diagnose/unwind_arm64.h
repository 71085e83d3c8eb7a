// The parts of the arm64 unwinder (unwinder.h).
#pragma once

#include "core/diagnose/unwind.h"

namespace kdk {

void add_arm64_stacks(Kernel& kernel, unsigned cpu, StackSet& stacks);

}  // namespace kdk
