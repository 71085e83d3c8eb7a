// A dump on a partition without a file system. Block 0 says what there is; the files lie behind it, the dump
// last, as a flattened stream. Little-endian.
//
//   0      16  "kdumpkit-raw-1\0\0"
//   16      4  state: 0 empty (claimed), 1 being written, 2 cut, 3 whole
//   20      4  number of files, at most 8
//   24    136  name of the dump, NUL-padded
//   160  n*80  files: name (24, NUL-padded), offset (8), size (8), SHA-256 (32), room (8)
//   4064   32  SHA-256 of the bytes before
//
// While the dump is being written its size and sum are those of the last header, which may be behind the
// data: a stream cut there is still good for what it has. Its sum counts in state "whole" only.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/base/bytes.h"
#include "core/base/sha256.h"

namespace kdk {

inline constexpr size_t raw_header_bytes = 4096;

enum class RawState : uint32_t { empty, writing, cut, whole };

struct RawFile {
  std::string name;
  uint64_t offset = 0, size = 0, room = 0;
  Sha256::Digest sum{};
};

struct RawHeader {
  RawState state = RawState::empty;
  std::string name;
  std::vector<RawFile> files;

  RawFile* find(std::string_view file);
};

std::array<uint8_t, raw_header_bytes> encode(const RawHeader& header);
// nullopt when `block` is no such header. Throws Error{format} when it is one and damaged.
std::optional<RawHeader> decode_raw_header(Bytes block);

}  // namespace kdk
