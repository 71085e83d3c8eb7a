// Where the running kernel's image and linear map are: physical and virtual.
//
// Reading /proc/vmcore needs only physical addresses (p_offset); the virtual ones (p_vaddr) are for
// debuggers. Both come from /proc/kcore, checked against VMCOREINFO and against _stext in /proc/kallsyms. A
// value that is not known is absent here, never zero: a missing symbol taken for address 0 is how other
// loaders write headers that crash the crash kernel.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "loader/machine/machine.h"

namespace kdk {

struct ImageMapping {
  uint64_t vaddr = 0;
  Range memory;  // physical
};

struct KernelAddresses {
  std::optional<uint64_t> linear_offset;  // virtual minus physical address in the linear map, modulo 2^64
  std::optional<ImageMapping> image;      // [_text, _end)
  std::string source;                     // where they came from, for people
  std::vector<std::string> problems;      // what was missing or contradictory, and what is done without it
};

KernelAddresses find_addresses(const Machine& machine);

}  // namespace kdk
