// What the rest of the program needs to seal things: to know no more of it than this.
#pragma once

#include <vector>

#include "capture/crypt/keys.h"
#include "capture/output/stream_filter.h"
#include "core/base/bytes.h"

namespace kdk {

// For a dump as a flattened stream. Throws Error{io,format}; Error{unsupported} in a program built without
// libsodium.
MakeStreamFilter seal_stream(const PublicKey& key);

// A whole file, a log or a summary.
std::vector<uint8_t> seal_file(const PublicKey& key, Bytes content);

}  // namespace kdk
