// Where a crash kernel finds its memory by the device tree it gets: in the memory nodes, or in the UEFI
// memory map, of which the EFI stub leaves the address in /chosen. With the latter the memory nodes do not
// count.
//
// linux,usable-memory-range (dtb.h) only takes away from that. A tree in which the crash regions are not
// memory gives a kernel that dies before it can print a word.
//
// Source: drivers/of/fdt.c (early_init_dt_scan_memory), drivers/firmware/efi/fdtparams.c
// (efi_get_fdt_params), drivers/firmware/efi/efi-init.c (reserve_regions).
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/bytes.h"
#include "loader/machine/memory_map.h"

namespace kdk {

// The properties of /chosen, numbers all of them. The first one is what the kernel looks for.
inline constexpr std::string_view uefi_system_table = "linux,uefi-system-table";
inline constexpr std::string_view uefi_map_start = "linux,uefi-mmap-start";
inline constexpr std::string_view uefi_map_size = "linux,uefi-mmap-size";
inline constexpr std::string_view uefi_descriptor_size = "linux,uefi-mmap-desc-size";
inline constexpr std::array<std::string_view, 6> uefi_properties = {
    uefi_system_table, uefi_map_start, uefi_map_size, uefi_descriptor_size, "linux,uefi-mmap-desc-ver",
    // Kernels of Debian, and others that lock down by it, insist on it, too.
    "linux,uefi-secure-boot"};

struct TreeMemory {
  std::vector<Range> nodes;                   // of the memory nodes that are in use; physical, merged
  std::map<std::string_view, uint64_t> uefi;  // by the names above
  bool only_chosen = false;                   // the tree describes no device: those are left to ACPI
};

// Throws Error{format} for a damaged tree and for numbers that are none, Error{unsupported} for root cells
// other than 1 or 2.
TreeMemory read_tree_memory(Bytes dtb);

// Those of uefi_properties that a kernel reads, by the names in its unpacked image. It wants all of them.
// Empty: it was built without EFI support.
std::vector<std::string_view> uefi_properties_read_by(Bytes image);

}  // namespace kdk
