// The purgatory: code that runs between the crashed kernel and the crash kernel, compares the loaded segments
// with their digests, and goes on to the trampoline when they are the same. When they are not, it says so on
// the serial console and resets the machine.
//
// What runs is in blob/, committed as bytes in code_*.cc; this is the side that fills it in. The segment is
// code, Parameters, stacks, and on arm64 page tables.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/base/bytes.h"
#include "core/base/sha256.h"
#include "loader/machine/memory_map.h"
#include "loader/purgatory/code.h"
#include "loader/purgatory/parameters.h"

namespace kdk::purgatory {

// Where the message goes.
struct Console {
  std::string name;  // as Linux calls it: ttyAMA0
  ConsoleKind kind = ConsoleKind::none;
  uint64_t address = 0;
  uint64_t shift = 0;
};

struct Checked {
  std::string name;
  Range data;  // the bytes that were loaded, not what the segment has behind them
  Sha256::Digest sha256{};
};

// What is to be mapped for the check, where the CPU has to be given a map.
struct MapRequest {
  Range memory;
  uint64_t page_size = 0;
};

struct Request {
  Code code;
  std::optional<MapRequest> map;
  uint64_t next = 0;  // physical address of the trampoline
  std::vector<Checked> checked;
  std::optional<Console> console;
  ResetKind reset = ResetKind::none;
};

// Memory that make_segment will want, stacks included. Depends on code and map alone.
uint64_t segment_size(const Code& code, const std::optional<MapRequest>& map);
// The segment's bytes, for physical address `at`: a multiple of 4096 and of the map's page size. They end
// before segment_size: the kernel zeroes the rest. Throws Error{unsupported} for more than max_ranges, for
// names or addresses that do not fit, and as make_identity_map does.
std::vector<uint8_t> make_segment(const Request& request, uint64_t at);

// What finished bytes will do.
struct Finished {
  uint64_t next = 0;
  std::vector<Checked> checked;
};
// Throws Error{format} when they cannot be a segment with this code.
Finished read_segment(const Code& code, Bytes segment);
// The same bytes with every digest zeroed: they follow from the other segments, and from seeds that are new
// in every plan.
std::vector<uint8_t> without_digests(const Code& code, std::vector<uint8_t> segment);

}  // namespace kdk::purgatory
