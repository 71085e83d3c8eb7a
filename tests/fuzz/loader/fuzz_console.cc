// The console of a guest: any text, cut anywhere, is judged within bounds.
#include <algorithm>
#include <cstdlib>

#include "core/base/bytes.h"
#include "loader/prove/console.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace kdk;
  constexpr size_t piece = 7;
  ConsoleWatch whole("expected"), pieces("expected");
  whole.feed({data, size});
  whole.finish();
  for (size_t at = 0; at < size; at += piece) pieces.feed({data + at, std::min(piece, size - at)});
  pieces.finish();
  if (whole.stage() != pieces.stage() || whole.failure() != pieces.failure() ||
      whole.last_lines() != pieces.last_lines() || whole.problems() != pieces.problems()) {
    std::abort();
  }
  if (whole.last_lines().size() > 20 || whole.problems().size() > 16 || whole.capture_said().size() > 32)
    std::abort();
  return 0;
}
