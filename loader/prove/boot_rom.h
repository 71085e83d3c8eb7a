// How an x86-64 virtual machine gets to a kexec image: an option ROM that SeaBIOS runs. It enters 64-bit mode
// with memory mapped at its physical address, as a crashing kernel does before it jumps, and jumps.
//
// By then SeaBIOS has set up ACPI's tables and the PCI bus, and nothing was booted. arm64 needs none of this:
// QEMU starts its CPU anywhere.
//
// Sources: BIOS Boot Specification 1.01, "Option ROM header" (signature, size, entry at byte 3, checksum);
// Intel SDM volume 3, "Initializing IA-32e Mode".
#pragma once

#include <cstdint>
#include <vector>

#include "loader/machine/memory_map.h"

namespace kdk {

// `entry`: where to jump in 64-bit mode. `page_tables`: physical address below 4 GiB of the top level.
std::vector<uint8_t> make_boot_rom(uint64_t entry, uint32_t page_tables);

// Page tables for physical address `at.start` that map the lowest `top` bytes at their own address, with
// pages of 2 MiB. Throws Error{unsupported} when they do not fit `at`.
std::vector<uint8_t> make_identity_map(const Range& at, uint64_t top);

}  // namespace kdk
