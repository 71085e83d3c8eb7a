// Helpers for collecting the stacks of a CPU. Private to core/diagnose.
#pragma once

#include <optional>
#include <string_view>

#include "core/diagnose/unwind.h"

namespace kdk {

// THREAD_SIZE in bytes, for a stack that begins at `stack_base`.
uint64_t thread_size(Kernel& kernel, uint64_t stack_base);

// Adds [low, low + size); nothing when `low` is unknown or null, or the range does not fit the address space.
void add_stack(StackSet& stacks, std::optional<uint64_t> low, uint64_t size, std::string_view name);

// Value of a per-CPU variable that is a pointer.
std::optional<uint64_t> per_cpu_pointer(Kernel& kernel, std::string_view symbol, unsigned cpu);

}  // namespace kdk
