// `kdump-capture reassemble`: one ordinary dump file out of a flattened stream or a split set, ours or
// makedumpfile's. Page data is copied in the form it has.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "core/base/bytes.h"
#include "core/base/file.h"

namespace kdk {

struct ReassembleOptions {
  std::vector<std::filesystem::path>
      inputs;  // one flattened stream ("-": standard input), or all parts of a set
  std::filesystem::path output;
  bool force = false;    // replace an existing OUTPUT
  unsigned threads = 0;  // for a split set; 0: as many as there are CPUs
};

struct Reassembled {
  std::string output;                // where the file is now
  uint64_t bytes = 0;                // its size
  std::vector<std::string> reasons;  // why it is not whole; sentences, empty when it is
};

// The same of one flattened stream that comes from anywhere. `read` fills its buffer as far as the stream
// goes; `name` is for messages. The output is replaced when it exists.
Reassembled reassemble_stream(const std::function<size_t(MutableBytes)>& read, const std::string& name,
                              const std::filesystem::path& output, const std::atomic<bool>& stop);

// For such a `read` out of a pipe or file: until the buffer is full, the input ends, or `stop` is set while
// it has nothing to give. Bytes read; throws Error naming `name`.
size_t read_stream(const Fd& fd, MutableBytes out, const std::string& name, const std::atomic<bool>& stop);

// Throws Error when nothing could be made of the inputs, or nothing be written. `stop`: set to end early (a
// signal).
Reassembled reassemble(const ReassembleOptions& options, const std::atomic<bool>& stop);

}  // namespace kdk
