// Joins core's walk with DWARF: adds file, line and inlined functions to the frames that lie in the kernel
// image.
#pragma once

#include <optional>
#include <unordered_map>

#include "analyze/symbols/debug_info.h"
#include "core/diagnose/crash.h"
#include "core/diagnose/frame.h"

namespace kdk {

// Frames in modules keep their names only: `info` is the vmlinux. Never throws.
void annotate(Backtrace& trace, DebugInfo& info);
// Every CPU's trace.
void annotate(Crash& crash, DebugInfo& info);

// For many traces: every address is looked up once. `info` must outlive it.
class Annotator {
 public:
  explicit Annotator(DebugInfo& info) : info_(info) {}
  void annotate(Backtrace& trace);

 private:
  DebugInfo& info_;
  std::unordered_map<uint64_t, std::optional<SourceInfo>> known_;
};

}  // namespace kdk
