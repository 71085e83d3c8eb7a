// What is verified before the kernel is asked to load anything. A machine that says "loaded" and then loses
// its dump is worse than one that says "not loaded", so every fact the crash kernel will rely on is looked at
// once more, in the finished artefacts rather than in the variables they were made from.
#pragma once

#include "loader/plan.h"

namespace kdk {

// Fills plan.checks and plan.memory from the finished segments. Never throws for what it finds.
void run_checks(const Machine& machine, LoadPlan& plan);

// What the crash kernel will have when it unpacks its initramfs (memory_estimate.cc). Both parts are separate
// because the second throws Error{format} when the initramfs is damaged; the first never does.
MemoryEstimate estimate_memory(const LoadPlan& plan, uint64_t initrd_size);
InitrdEstimate estimate_unpacking(const LoadPlan& plan, Bytes initrd);

}  // namespace kdk
