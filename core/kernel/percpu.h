// Per-CPU variables: address of a per-CPU symbol's instance on one CPU.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "core/kernel/kernel.h"

namespace kdk {

// CPU numbers set in a cpumask symbol ("__cpu_online_mask", "__cpu_possible_mask", "__cpu_present_mask").
// nullopt when the symbol is unknown or unreadable. Bounded by the mask's size.
std::optional<std::vector<unsigned>> cpu_mask(Kernel& kernel, std::string_view symbol);

// What is added to a per-CPU pointer to get the CPU's own; nullopt when __per_cpu_offset is unknown, or such
// a CPU cannot be.
std::optional<uint64_t> per_cpu_offset(Kernel& kernel, unsigned cpu);

// &per_cpu(symbol, cpu); nullopt when the symbol or __per_cpu_offset is unknown.
std::optional<VirtAddr> per_cpu_address(Kernel& kernel, std::string_view symbol, unsigned cpu);

}  // namespace kdk
