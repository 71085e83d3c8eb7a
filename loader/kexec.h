// The only file that changes the machine.
//
// Source: kexec_load(2), kernel/kexec.c. Loading a crash kernel frees the one loaded before it first, so
// after a failure nothing is loaded; every error here says which state the machine is left in.
#pragma once

#include "core/base/file.h"
#include "loader/plan.h"

namespace kdk {

// /sys/kernel/kexec_crash_loaded. Throws Error{missing} when this kernel has no kexec at all.
bool crash_kernel_loaded(const SysRoot& root);

// Loads the plan into the running kernel and verifies that the kernel now says so. The plan must be good().
// Throws Error{denied,io,unsupported}: cause, next step, and whether the machine still has a crash kernel.
void load_crash_kernel(const LoadPlan& plan);

// Frees the loaded crash kernel, if any, and verifies it.
void unload_crash_kernel();

// What an errno of kexec_load(2) means here and what to do about it. For tests too.
Error explain_kexec_errno(int errno_value, std::string_view action);

}  // namespace kdk
