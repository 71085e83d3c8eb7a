// Whether the loaded segments are compared with their digests before the crash kernel starts, and the segment
// that does it (loader/purgatory). Only with kexec_load: with kexec_file_load the kernel decides.
#pragma once

#include "loader/plan/checks.h"
#include "loader/plan/placement.h"

namespace kdk {

// A digest that costs less than this is on by itself. Seconds.
constexpr double digest_patience = 0.2;

// After every other segment has been made and placed: decides by `mode`, fills plan.digest and, when it is
// on, adds the purgatory and makes it the entry. plan.entry must be the trampoline. Throws Error{unsupported}
// when the user insists and the crash region has no room.
void add_digest(const Machine& machine, DigestMode mode, Placer& placer, LoadPlan& plan);
// For kexec_load: what is checked is what was loaded. For kexec_file_load: is there one when it was asked
// for?
Outcome check_digest(const LoadPlan& plan);
// plan.digest for kexec_file_load.
void describe_file_digest(DigestMode mode, LoadPlan& plan);

// Whether a digest covers it: not the purgatory itself, nor what the running kernel may rewrite after the
// load.
bool in_digest(const Segment& segment);

// Whether what is entered first leads to the trampoline. Throws Error{format} when the purgatory is damaged.
bool enters_trampoline(const LoadPlan& plan);

}  // namespace kdk
