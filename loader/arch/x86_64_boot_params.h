// What an x86-64 kernel is told by its boot loader: "struct boot_params", 4096 bytes, little-endian.
//
// Sources: Documentation/arch/x86/zero-page.rst and boot.rst; arch/x86/include/uapi/asm/bootparam.h. What a
// crash kernel gets: arch/x86/kernel/kexec-bzimage64.c (setup_boot_parameters) and crash.c
// (crash_setup_memmap_entries).
#pragma once

#include <cstdint>
#include <vector>

#include "loader/plan/plan.h"

namespace kdk::x86_64 {

constexpr uint64_t boot_params_size = 4096;

struct BootParamsRequest {
  Range command_line;  // physical, with its NUL
  Range initrd;        // size 0: none
  Range elfcorehdr;    // not offered as memory
};

// One line of the memory map.
struct E820Entry {
  enum class Type : uint32_t { ram = 1, reserved = 2, acpi = 3, nvs = 4, unusable = 5 };
  Range memory;
  Type type = Type::ram;
  friend bool operator==(const E820Entry&, const E820Entry&) = default;
};

// The crash kernel's memory: RAM below 1 MiB, the crash regions without the elfcorehdr, and whatever the
// firmware keeps. Ascending. Throws Error{unsupported} for more than the 128 entries that fit.
std::vector<E820Entry> make_e820(const Machine& machine, const LoadPlan& plan, const Range& elfcorehdr);

// `kernel_file` is the whole bzImage, already parsed.
std::vector<uint8_t> make_boot_params(const Machine& machine, const LoadPlan& plan, Bytes kernel_file,
                                      const BootParamsRequest& request);

// The memory map in finished bytes. Throws Error{format} for too many entries.
std::vector<E820Entry> read_e820(Bytes boot_params);

}  // namespace kdk::x86_64
