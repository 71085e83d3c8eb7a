#include "analyze/unwind/annotate.h"

namespace kdk {

void annotate(Backtrace& trace, DebugInfo& info) {
  for (Frame& frame : trace.frames) {
    if (!frame.module.empty() || !frame.image_offset) continue;
    // The byte before a return address belongs to the call.
    std::optional<SourceInfo> source = info.source(frame.pc_is_return_address ? frame.pc - 1 : frame.pc);
    if (!source) continue;
    frame.file = std::move(source->file);
    frame.line = source->line;
    frame.inlines = std::move(source->inlines);
  }
}

void annotate(Crash& crash, DebugInfo& info) {
  for (CpuState& cpu : crash.cpus) annotate(cpu.backtrace, info);
}

}  // namespace kdk
