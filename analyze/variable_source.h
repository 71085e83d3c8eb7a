// Variables of traces, with what a session has opened.
#pragma once

#include <optional>
#include <vector>

#include "analyze/session.h"
#include "analyze/symbols/variable_facts.h"
#include "analyze/unwind/vmlinux_aids.h"

namespace kdk {

class VariableSource {
 public:
  // session.kernel() must be there.
  explicit VariableSource(Session& session);
  // `start`: the registers of the trace's first frame. Pointers say what they point to. Never throws for what
  // is in the dump.
  std::vector<FunctionVariables> read(const Backtrace& trace, const std::optional<Registers>& start);

 private:
  Session& session_;
  SourceLookup sources_;
  VmlinuxAids aids_;
};

}  // namespace kdk
