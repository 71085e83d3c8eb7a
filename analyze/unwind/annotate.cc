#include "analyze/unwind/annotate.h"

namespace kdk {

void Annotator::annotate(Backtrace& trace) {
  for (Frame& frame : trace.frames) {
    if (!frame.module.empty() || !frame.image_offset) continue;
    // The byte before a return address belongs to the call.
    const uint64_t address = frame.pc_is_return_address ? frame.pc - 1 : frame.pc;
    auto [found, fresh] = known_.try_emplace(address);
    if (fresh) found->second = info_.source(address);
    if (!found->second) continue;
    frame.file = found->second->file;
    frame.line = found->second->line;
    frame.inlines = found->second->inlines;
  }
}

void annotate(Backtrace& trace, DebugInfo& info) {
  Annotator(info).annotate(trace);
}

void annotate(Crash& crash, DebugInfo& info) {
  Annotator annotator(info);
  for (CpuState& cpu : crash.cpus) annotator.annotate(cpu.backtrace);
}

}  // namespace kdk
