// x86-64's two ways to load, as far as they share anything: x86_64.cc has kexec_file_load, x86_64_segments.cc
// kexec_load.
#pragma once

#include "loader/plan/checks.h"

namespace kdk::x86_64 {

constexpr uint64_t page_size = 4096;
// Lowest address of a kernel (arch/x86/kernel/kexec-bzimage64.c, MIN_KERNEL_LOAD_ADDR).
constexpr uint64_t lowest_kernel = 0x100000;

inline uint64_t whole_pages(uint64_t size) {
  return align_up(size, page_size);
}

// The command line's limit with "elfcorehdr=0x... " put before it (MAX_ELFCOREHDR_STR_LEN).
CommandLineLimit command_line_limit(const BzImage& header);
// What a bzImage must be for either way; ok when it is.
Outcome check_bzimage(const Machine& machine, const BzImage& header);
// Devices that reach 32 bits need memory there; so do the bounce buffers that would help them.
Outcome check_low_memory(const LoadPlan& plan);

// kexec_load.
void compose_segments(const Machine& machine, LoadInputs& inputs, LoadPlan& plan);
void check_segments_of_ours(const Machine& machine, LoadPlan& plan);

}  // namespace kdk::x86_64
