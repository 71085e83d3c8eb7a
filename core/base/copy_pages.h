// Copying memory of a dump.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace kdk {

// memcpy() for whole pages and parts of them, by 64 bytes at a time: of this size the C library of x86-64
// takes "rep movsb", which some processors (AMD's Zen among them) do five times slower when source and target
// are not aligned alike. Asks for what comes half a page later: processors do not look across the end of a
// page by themselves, and a scan of struct pages waits for memory most of its time (5 % less with it). A
// prefetch of an address that is not mapped does nothing.
inline void copy_pages(uint8_t* to, const uint8_t* from, size_t size) {
  size_t i = 0;
  for (; i + 64 <= size; i += 64) {
    __builtin_prefetch(from + i + 2048);
    uint8_t line[64];  // in registers
    std::memcpy(line, from + i, sizeof line);
    std::memcpy(to + i, line, sizeof line);
  }
  std::memcpy(to + i, from + i, size - i);
}

}  // namespace kdk
