// Reads the arguments and local variables of every frame of a trace out of DWARF and the dump.
//
// For that the registers of each frame are followed by call frame information, from where they are known as
// a whole: at the start of the trace and at each exception. A frame where that chain breaks (code without
// call frame information, a switch of stacks) and those outside it have what is on the stack where the walk
// knows the stack pointer, and say `unavailable` for the rest.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "analyze/symbols/variable_facts.h"
#include "analyze/unwind/annotate.h"
#include "core/diagnose/unwind.h"

namespace kdk {

// `start`: the registers of the trace's first frame. `note` says what a pointer points to, or "" (escaped).
// Frames without DWARF are left out. Never throws for what is in the dump or the debug information.
std::vector<FunctionVariables> read_variables(Kernel& kernel, const SourceLookup& sources, CallFrameInfo& cfi,
                                              const Backtrace& trace, const std::optional<Registers>& start,
                                              const std::function<std::string(uint64_t)>& note);

}  // namespace kdk
