// Joins core's walk with DWARF: adds file, line and inlined functions to the frames of the kernel image and
// of modules.
#pragma once

#include <optional>
#include <unordered_map>

#include "analyze/symbols/debug_info.h"
#include "analyze/symbols/module_debug.h"
#include "core/diagnose/crash.h"
#include "core/diagnose/frame.h"

namespace kdk {

// Where the position of an address can come from; either may be nullptr.
struct SourceLookup {
  DebugInfo* vmlinux = nullptr;
  ModuleDebug* modules = nullptr;

  // By run-time address; `in_module`: it is one of a module. Never throws.
  std::optional<SourceInfo> at(uint64_t address, bool in_module) const;
};

// Never throws.
void annotate(Backtrace& trace, const SourceLookup& sources);
// Every CPU's trace.
void annotate(Crash& crash, const SourceLookup& sources);

// For many traces: every address is looked up once. What `sources` names must outlive it.
class Annotator {
 public:
  explicit Annotator(const SourceLookup& sources) : sources_(sources) {}
  void annotate(Backtrace& trace);

 private:
  SourceLookup sources_;
  std::unordered_map<uint64_t, std::optional<SourceInfo>> known_;
};

}  // namespace kdk
