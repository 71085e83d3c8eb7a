// Files that hold a kernel: zboot images, unified kernel images, vmlinux.
#pragma once

#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/bytes.h"

namespace kdk::testing {

// The payload ends the file.
std::vector<uint8_t> make_zboot(std::string_view method, Bytes payload);

// Sections in the order given, each padded to 512 bytes in the file.
std::vector<uint8_t> make_unified(
    const std::vector<std::pair<std::string_view, std::vector<uint8_t>>>& sections);

struct FakeElf {
  bool big_endian = false;
  uint16_t machine = 183;
  std::vector<std::pair<uint64_t, Bytes>> segments;  // physical address, data

  std::vector<uint8_t> bytes() const;
};

}  // namespace kdk::testing
