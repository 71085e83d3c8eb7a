// Makes the file that a flattened stream describes. The stream is read once from front to end, so it may come
// through a pipe.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "core/formats/dump_output.h"

namespace kdk {

// Reads up to out.size() bytes of the stream, fewer only at its end. Throws Error{io}.
using StreamReader = std::function<size_t(MutableBytes out)>;

struct Replayed {
  uint64_t size = 0;              // of the described file, bytes
  std::string incomplete_reason;  // why the stream ends early; empty when it has its end mark
};

// Writes every record to its place in `output`; what no record covers is left alone. A stream that ends early
// or turns to nonsense is used up to there. `name` is the stream's, for messages. Throws
// Error{format,unsupported} when it is no flattened stream, and what `read` and `output` throw.
Replayed replay_flattened(const StreamReader& read, const std::string& name, DumpOutput& output);

}  // namespace kdk
