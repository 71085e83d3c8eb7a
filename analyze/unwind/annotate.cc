#include "analyze/unwind/annotate.h"

namespace kdk {

std::optional<SourceInfo> SourceLookup::at(uint64_t address, bool in_module) const {
  if (in_module) return modules != nullptr ? modules->source(address) : std::nullopt;
  return vmlinux != nullptr ? vmlinux->source(address) : std::nullopt;
}

void Annotator::annotate(Backtrace& trace) {
  for (Frame& frame : trace.frames) {
    if (frame.module.empty() && !frame.image_offset) continue;
    // The byte before a return address belongs to the call.
    const uint64_t address = frame.pc_is_return_address ? frame.pc - 1 : frame.pc;
    auto [found, fresh] = known_.try_emplace(address);
    if (fresh) found->second = sources_.at(address, !frame.module.empty());
    if (!found->second) continue;
    frame.file = found->second->file;
    frame.line = found->second->line;
    frame.inlines = found->second->inlines;
  }
}

void annotate(Backtrace& trace, const SourceLookup& sources) {
  Annotator(sources).annotate(trace);
}

void annotate(Crash& crash, const SourceLookup& sources) {
  Annotator annotator(sources);
  for (CpuState& cpu : crash.cpus) annotator.annotate(cpu.backtrace);
}

}  // namespace kdk
