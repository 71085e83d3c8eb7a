#include "analyze/triage/report.h"

#include <algorithm>

namespace kdk {

bool partial(const std::vector<Limit>& limits) {
  return std::any_of(limits.begin(), limits.end(), [](const Limit& limit) { return limit.damage; });
}

const Frame* culprit(const Backtrace& trace) {
  const Frame* after_panic = nullptr;
  for (size_t i = 0; i < trace.frames.size(); ++i) {
    const Frame& frame = trace.frames[i];
    if (frame.kind == FrameKind::exception || frame.kind == FrameKind::bad_call) return &frame;
    bool is_panic = frame.symbol == "panic" || frame.symbol == "vpanic" || frame.symbol == "nmi_panic";
    if (is_panic && i + 1 < trace.frames.size()) after_panic = &trace.frames[i + 1];
  }
  return after_panic;
}

}  // namespace kdk
