// What may stand between a flattened stream and its file.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "core/base/bytes.h"

namespace kdk {

// Makes something else of a stream on its way (capture/crypt). Throws what the place that its bytes go to
// throws.
class StreamFilter {
 public:
  virtual ~StreamFilter() = default;
  virtual void write(Bytes data) = 0;
  // The stream has ended as it should.
  virtual void finish() = 0;
  virtual uint64_t bytes() const = 0;  // of the result so far
};

// Makes one for bytes that go to `sink`.
using MakeStreamFilter = std::function<std::unique_ptr<StreamFilter>(std::function<void(Bytes)> sink)>;

}  // namespace kdk
