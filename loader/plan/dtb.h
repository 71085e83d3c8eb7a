// The device tree handed to the crash kernel: the running machine's own, with /chosen rewritten.
//
// Source: drivers/of/kexec.c (of_kexec_alloc_and_setup_fdt) for what kexec_file_load writes, drivers/of/fdt.c
// for what the crash kernel reads, and the Devicetree Specification, chapter 5, for the flattened format.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "core/base/bytes.h"
#include "loader/machine/memory_map.h"

namespace kdk {

// The arm64 boot protocol's limit; the kernel maps that much and no more.
constexpr uint64_t max_dtb_size = uint64_t{2} << 20;

// Fresh randomness: the running kernel wiped its own seeds from the tree when it used them.
struct BootSeeds {
  std::array<uint8_t, 8> kaslr{};
  std::array<uint8_t, 128> rng{};
};

struct DtbRequest {
  Range elfcorehdr;
  std::vector<Range> usable_memory;  // main crash region first, low region last
  std::optional<Range> initrd;       // exact length
  std::string command_line;
  BootSeeds seeds;
};

// One change, for the plan. `value` is readable text; seeds are not shown.
struct DtbEdit {
  std::string action;  // "set", "delete", "reserve", "unreserve", "keep"
  std::string target;  // "/chosen/bootargs", "/memreserve/"
  std::string value;
};

struct EditedDtb {
  std::vector<uint8_t> bytes;
  std::vector<DtbEdit> edits;
};

// Throws Error{format} for a damaged tree, Error{unsupported} for root cells other than 1 or 2, for addresses
// that do not fit 1-cell trees, and for a result larger than max_dtb_size.
EditedDtb edit_dtb(Bytes source, const DtbRequest& request);

// Builds a flattened tree from a directory like /proc/device-tree: directories are nodes, files properties.
// Memory reservations are not in there and are lost. Throws Error{io,format,unsupported}.
std::vector<uint8_t> flatten_device_tree(const std::filesystem::path& directory);

// What a crash kernel would read out of `dtb`; throws Error{format} when it could not. For checking finished
// trees.
struct ChosenNode {
  std::optional<Range> elfcorehdr;
  std::vector<Range> usable_memory;
  std::optional<Range> initrd;
  std::string bootargs;
  bool has_seeds = false;           // both seeds are there and not all zero
  std::vector<Range> reservations;  // of the memory reservation block
};
ChosenNode read_chosen(Bytes dtb);

}  // namespace kdk
