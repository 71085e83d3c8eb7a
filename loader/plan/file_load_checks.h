// Checks of what kexec_file_load will be asked, whatever the architecture: there the kernel makes the
// segments, so it is foretold what it will say to the files.
#pragma once

#include "loader/plan/checks.h"

namespace kdk {

// The elfcorehdr the kernel will make; bytes, an upper bound unless the kernel tells (elfcorehdr_size).
uint64_t expected_elfcorehdr_size(const Machine& machine, const LoadPlan& plan);

// Whether the kernel will insist on a signature, and the file carries one. Good or bad is the kernel's to
// say.
Outcome check_signature(const Machine& machine, const LoadPlan& plan);
// That what the kernel will place is not more than it accepts.
Outcome check_expected(const Machine& machine, const LoadPlan& plan);

}  // namespace kdk
