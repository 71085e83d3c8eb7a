// `kdump-capture decrypt`: a sealed file becomes what it was; of a dump, the stream is rearranged on the way.
#pragma once

#include <atomic>
#include <filesystem>
#include <string>
#include <vector>

#include "capture/crypt/keys.h"

namespace kdk {

struct DecryptOptions {
  std::filesystem::path input;  // "-": standard input
  std::filesystem::path output;
  std::filesystem::path key;
  bool force = false;  // replace an existing output
};

struct Decrypted {
  std::string output;  // of a file that was cut: with ".incomplete"; a dump says so itself
  uint64_t bytes = 0;
  std::vector<std::string> reasons;  // why it is not the whole; empty: it is
};

// Throws Error when nothing can be had.
Decrypted decrypt(const DecryptOptions& options, const std::atomic<bool>& stop);

}  // namespace kdk
