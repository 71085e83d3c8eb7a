// Places a kernel log in a synthetic machine: the lockless ring buffer (v5.10 and later) or the record buffer
// before.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tests/support/dump_builder.h"

namespace kdk::test {

struct LogLine {
  uint64_t time_ns = 0;
  std::string text;
  uint8_t level = 6;
  uint8_t facility = 0;
  uint8_t flags = 2;  // LOG_NEWLINE; 8 = LOG_CONT
  uint32_t caller_id = 0;
  std::string subsystem, device;
};

struct RingOptions {
  unsigned count_bits = 6;        // 2^n descriptors
  unsigned size_bits = 12;        // 2^n bytes of text
  uint64_t first_seq = 0;         // seq of the first line
  uint64_t first_id = 1u << 6;    // descriptor id of the first line (not below 2^count_bits)
  uint64_t first_lpos = 0;        // logical position of the first text block: to make blocks wrap
  bool last_uncommitted = false;  // the last line is only reserved
};

// Where it was put, for tests that damage it.
struct PlacedRing {
  VirtAddr prb_pointer;  // SYMBOL(prb)
  VirtAddr ring;         // struct printk_ringbuffer
  VirtAddr descs, infos, text;
};

// prb with the struct layout of v6.12 arm64, and its VMCOREINFO keys. Lines beyond the capacity overwrite the
// oldest, as in the kernel. All lines must fit one by one.
PlacedRing put_printk_ring(DumpBuilder& machine, const std::vector<LogLine>& lines,
                           const RingOptions& options = {});

// struct printk_log records (v3.11 to v5.9) in log_buf, starting at `first_offset` so that they can wrap.
void put_printk_log(DumpBuilder& machine, const std::vector<LogLine>& lines, uint32_t buffer_size = 4096,
                    uint32_t first_offset = 0);

}  // namespace kdk::test
