// Checks of what we make ourselves for kexec_load, whatever the architecture: each reads the finished bytes
// back as the kernel, or the crash kernel, will.
#pragma once

#include "loader/plan/checks.h"

namespace kdk {

// What kernel/kexec_core.c, sanity_check_segment_list would refuse, said in words.
Outcome check_segments(const Machine& machine, const LoadPlan& plan);
// That every CPU in sysfs has a place for its registers.
Outcome check_cpu_notes(const Machine& machine);
// The elfcorehdr, as fs/proc/vmcore.c reads it.
Outcome check_elfcorehdr(const LoadPlan& plan);
// Where the virtual addresses in it came from.
Outcome check_addresses(const LoadPlan& plan);
// The device tree, as the crash kernel reads it.
Outcome check_dtb(const LoadPlan& plan);

}  // namespace kdk
