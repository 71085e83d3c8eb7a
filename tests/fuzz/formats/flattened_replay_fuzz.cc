// Replaying a flattened stream, and the one promise beyond not crashing: without an end mark it says why it
// ended.
#include <algorithm>
#include <cstdlib>

#include "core/base/error.h"
#include "core/formats/flattened_replay.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  size_t at = 0;
  const auto read = [&](kdk::MutableBytes out) {
    const size_t n = std::min(out.size(), size - at);
    std::copy_n(data + at, n, out.begin());
    at += n;
    return n;
  };
  kdk::NullOutput nowhere;
  try {
    const kdk::Replayed replayed = kdk::replay_flattened(read, "fuzz", nowhere);
    const bool ended =
        at >= 16 && std::all_of(data + at - 16, data + at, [](uint8_t b) { return b == 0xff; });
    if (replayed.incomplete_reason.empty() && !ended) std::abort();
  } catch (const kdk::Error&) {
  }
  return 0;
}
