// Joins core's walk with DWARF: adds file, line and inlined functions to the frames that lie in the kernel
// image.
#pragma once

#include "analyze/symbols/debug_info.h"
#include "core/diagnose/crash.h"
#include "core/diagnose/frame.h"

namespace kdk {

// Frames in modules keep their names only: `info` is the vmlinux. Never throws.
void annotate(Backtrace& trace, DebugInfo& info);
// Every CPU's trace.
void annotate(Crash& crash, DebugInfo& info);

}  // namespace kdk
