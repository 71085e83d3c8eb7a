// arm64, by either system call: whether the crash kernel would start on this machine at all. What goes wrong
// here goes wrong before the kernel has a console: no message, no dump.
//
// Sources: arch/arm64/kernel/setup.c (setup_arch), arch/arm64/kernel/acpi.c (parse_acpi, dt_is_stub,
// acpi_boot_table_init), arch/arm64/kernel/head.S (__no_granule_support).
#pragma once

#include "loader/plan/checks.h"

namespace kdk::arm64 {

// That the tree leads the kernel to memory and devices: memory nodes that hold the main crash region, or the
// UEFI memory map; ACPI where the tree describes no devices.
Outcome check_tree_memory(const Machine& machine, const LoadPlan& plan);

// That the CPUs have pages of the kernel's size. The register that says so, ID_AA64MMFR0_EL1, is hidden from
// programs, so cores that are known not to have them go by name, and for others it is a warning.
Outcome check_page_size(const Machine& machine, const LoadPlan& plan);

}  // namespace kdk::arm64
