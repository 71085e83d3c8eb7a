// What kdump-load tells the purgatory: these bytes follow its code in the segment. Included by both sides, so
// there is nothing of a library here. Numbers are little-endian, as both architectures are.
#pragma once

#include <cstddef>
#include <cstdint>

namespace kdk::purgatory {

constexpr uint64_t max_ranges = 15;  // KEXEC_SEGMENT_MAX without the purgatory's own

// Memory that must hold what was loaded.
struct CheckedRange {
  uint64_t address;  // physical, and a multiple of 64
  uint64_t size;  // bytes of data; what follows them in the segment was zeroed by the kernel and is not read
  uint8_t sha256[32];
  char name[16];  // of the segment, with at least one NUL
};

// Who gets the message on a mismatch.
enum class ConsoleKind : uint64_t {
  none = 0,
  pl011 = 1,        // registers at a physical address, 32 bits wide
  uart8250_io = 2,  // at an x86 I/O port, 8 bits wide
  uart8250_8 = 3,   // registers at a physical address, 8 bits wide
  uart8250_32 = 4,  // the same, 32 bits wide
};

// How the machine is reset then.
enum class ResetKind : uint64_t {
  none = 0,
  psci_smc = 1,  // arm64
  psci_hvc = 2,  // arm64
  x86 = 3,       // keyboard controller, port 0xcf9, triple fault
};

struct Parameters {
  uint64_t next;  // physical address of what to run when everything is as it was loaded
  uint64_t range_count;
  ConsoleKind console;
  uint64_t console_address;
  uint64_t console_shift;  // 8250: register n is at n << shift
  ResetKind reset;
  // arm64: TTBR0, and TG0 at its place in TCR. See identity_map.h.
  uint64_t translation_table;
  uint64_t translation_granule;
  CheckedRange ranges[max_ranges];
};
static_assert(sizeof(CheckedRange) == 64 && sizeof(Parameters) == 64 + 64 * max_ranges);

// At byte 8 of the code: where its functions are, as offsets from its first byte. The purgatory itself does
// not use it; tests and the benchmark call the very code that will run.
struct EntryTable {
  uint32_t check;          // uint64_t(const Parameters*): 0, or 1 + the index of the first range that differs
  uint32_t compress;       // void(uint32_t state[8], const uint8_t* data, uint64_t blocks), any CPU
  uint32_t compress_fast;  // the same with the CPU's instructions for it
  uint32_t has_instructions;  // uint64_t(): whether this CPU has them
};
constexpr uint64_t entry_table_at = 8;

// Behind the parameters: the stack of the check, then one that only a failure uses. Bytes.
constexpr uint64_t stack_size = 4096;
constexpr uint64_t failure_stack_size = 2048;
constexpr uint64_t stacks_at = sizeof(Parameters);  // from the parameters on
constexpr uint64_t stacks_size = stack_size + failure_stack_size;

}  // namespace kdk::purgatory
