// Bytes of the dumped machine's memory, for people: at virtual or physical addresses, with what values that
// are pointers point to. What is not in the dump is named where it is missing and does not end the rest.
#pragma once

#include <cstdint>
#include <kdumpkit/kdumpkit.hpp>
#include <map>
#include <string>
#include <vector>

#include "analyze/inspect/owner.h"

namespace kdk {

struct MemoryRequest {
  std::string query;  // as it was asked; escaped
  uint64_t start = 0;
  uint64_t count = 1;  // of units; for a string, its longest length
  unsigned unit = 8;   // bytes: 8, 4, 2 or 1
  bool physical = false;
  bool symbols = false;  // say what 8-byte values point to
  bool string = false;   // the bytes up to the first zero
};

struct MemoryView {
  MemoryRequest request;
  struct Piece {
    uint64_t address = 0;
    uint64_t size = 0;
    std::vector<uint8_t> bytes;  // empty: it cannot be read, and why_not says why
    int memory = KDUMPKIT_MEMORY_OK;  // enum kdumpkit_memory
    std::string why_not;
  };
  std::vector<Piece> pieces;              // they follow one another without gaps
  std::map<uint64_t, std::string> notes;  // what the value at this address points to; escaped
  std::string text;                       // of a string: its bytes, escaped
  uint64_t readable_bytes = 0;
};

constexpr uint64_t most_view_bytes = uint64_t{64} << 20;

// `owners` is asked for request.symbols. At most most_view_bytes are read.
MemoryView view_memory(kdumpkit::Dump& dump, OwnerFinder& owners, MemoryRequest request);

}  // namespace kdk
