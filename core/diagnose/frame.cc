#include "core/diagnose/frame.h"

namespace kdk {

std::string_view to_string(Trust trust) {
  switch (trust) {
    case Trust::registers:
      return "registers";
    case Trust::cfi:
      return "cfi";
    case Trust::orc:
      return "orc";
    case Trust::frame_record:
      return "frame_record";
    case Trust::inferred:
      return "inferred";
    case Trust::scan:
      return "scan";
  }
  return "scan";
}

std::string_view to_string(FrameKind kind) {
  switch (kind) {
    case FrameKind::call:
      return "call";
    case FrameKind::exception:
      return "exception";
    case FrameKind::lr_candidate:
      return "lr_candidate";
    case FrameKind::bad_call:
      return "bad_call";
  }
  return "call";
}

}  // namespace kdk
