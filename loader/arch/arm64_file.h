// arm64: a plain Image by kexec_file_load. The kernel makes the elfcorehdr and the device tree and places
// everything by its own rules; those rules are followed here so that what it would refuse is known, and said
// in words, before the crash kernel loaded before is freed. There is no purgatory.
//
// Sources: arch/arm64/kernel/kexec_image.c (image_probe, image_load), arch/arm64/kernel/machine_kexec_file.c
// (load_other_segments), drivers/of/kexec.c (of_kexec_alloc_and_setup_fdt).
#pragma once

#include <cstdint>
#include <vector>

#include "loader/plan/checks.h"
#include "loader/plan/plan.h"

namespace kdk::arm64 {

// Booting protocol: the image's base is a multiple of it; the device tree stays inside one block of this
// size.
constexpr uint64_t block_size = uint64_t{2} << 20;
// COMMAND_LINE_SIZE of arch/arm64/include/uapi/asm/setup.h, its terminating NUL included.
constexpr uint64_t command_line_size = 2048;

// linux,usable-memory-range wants the main region first: kernels cap their memory to the first pair and add
// the others (drivers/of/fdt.c, early_init_dt_check_for_usable_mem_range).
std::vector<Range> usable_memory(const std::vector<Range>& crash_regions);

// The machine's own device tree, under the name of its source. Throws Error{missing} when it has none.
InputFile own_tree(const Machine& machine);
// Fills plan.device_tree and returns the finished tree. `kernel` is the plain Image.
std::vector<uint8_t> make_tree(const InputFile& source, const DtbRequest& request, Bytes kernel,
                               LoadPlan& plan);

// kexec_file_load; as Loader says.
void compose_files(const Machine& machine, LoadInputs& inputs, LoadPlan& plan);
void check_files(const Machine& machine, LoadPlan& plan);

}  // namespace kdk::arm64
