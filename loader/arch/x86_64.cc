// x86-64: a bzImage by kexec_file_load. The kernel makes the elfcorehdr, the boot parameters with their
// memory map and the purgatory itself and places everything by its own rules; those rules are followed here
// so that what it would refuse is known, and said in words, before the crash kernel loaded before is freed.
//
// Sources: arch/x86/kernel/kexec-bzimage64.c (bzImage64_probe, bzImage64_load), arch/x86/kernel/crash.c
// (crash_load_segments).
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "core/formats/vmcoreinfo.h"
#include "loader/arch/x86_64.h"
#include "loader/image/bzimage.h"
#include "loader/plan/elf64.h"
#include "loader/plan/file_load_checks.h"
#include "loader/plan/kernel_placement.h"

namespace kdk {
namespace {

using x86_64::lowest_kernel;
using x86_64::page_size;

constexpr uint64_t four_gib = uint64_t{4} << 30;
// Lowest address the kernel's loader uses.
constexpr uint64_t lowest_initrd = 0x1000000;
// Set aside for "elfcorehdr=0x... ", which the kernel puts before the command line (MAX_ELFCOREHDR_STR_LEN).
constexpr uint64_t elfcorehdr_option = 30;
// Upper bounds of what only the kernel knows: the purgatory linked into it (20 KiB on Debian 6.12), the EFI
// runtime map, setup_data.
constexpr uint64_t purgatory_bound = 64 << 10;
constexpr uint64_t boot_params_bound = 32 << 10;
// Control code, a copy of VMCOREINFO and page tables; a table per GiB where the CPU has no 1 GiB pages.
constexpr uint64_t control_pages_bound = 64 << 10;
constexpr uint64_t gib = uint64_t{1} << 30;
// kernel/dma/swiotlb.c, IO_TLB_DEFAULT_SIZE.
constexpr uint64_t bounce_buffers = 64 << 20;

// acpi_no_memhotplug: ACPI would offer the crashed machine's memory for use. Why the others:
// docs/kdump-load.md.
constexpr std::array<std::string_view, 9> crash_defaults = {
    "reset_devices",      "nr_cpus=1", "irqpoll", "mce=off",      "numa=off",
    "acpi_no_memhotplug", "panic=10",  "cma=0",   "hugetlb_cma=0"};

KernelInfo read_kernel(std::vector<uint8_t>& file) {
  KernelImage image = load_bzimage(std::move(file));
  file = std::move(image.bytes);
  image.info.page_size = page_size;
  return image.info;
}

void compose(const Machine& machine, LoadInputs& inputs, LoadPlan& plan) {
  const BzImage& header = *plan.image.bzimage;
  plan.command_line_limit = x86_64::command_line_limit(header);

  KernelPlacer placer(plan.main_region(), page_size);
  placer.bottom_up("elfcorehdr", expected_elfcorehdr_size(machine, plan),
                   {.estimated = !machine.elfcorehdr_size});
  placer.top_down("purgatory", purgatory_bound, {.estimated = true});
  placer.top_down("boot_params", boot_params_bound + plan.command_line.text.size(), {.estimated = true});
  placer.top_down(
      "kernel", header.init_size,
      {.alignment = header.alignment, .minimum = std::max(header.preferred_address, lowest_kernel)});
  if (inputs.initrd && !inputs.initrd->bytes.empty())
    placer.top_down("initrd", inputs.initrd->bytes.size(), {.minimum = lowest_initrd});
  uint64_t tables = (total_size(plan.system_ram) / gib + 1) * page_size;
  placer.bottom_up("control_pages", control_pages_bound + tables, {.estimated = true});
  plan.expected = placer.take();
}

// What bzImage64_probe refuses, and what it does not look at though the kernel would not start.
Outcome check_boot_protocol(const Machine& machine, const LoadPlan& plan) {
  if (machine.firmware_bits == 32)
    return failed("the EFI firmware is 32-bit: kexec_file_load refuses every kernel");
  return x86_64::check_bzimage(machine, *plan.image.bzimage);
}

void check(const Machine& machine, LoadPlan& plan) {
  auto run = [&](std::string name, auto&& check_it) {
    plan.checks.push_back(run_check(std::move(name), check_it));
  };
  run("low_memory", [&] { return x86_64::check_low_memory(plan); });
  run("signature", [&] { return check_signature(machine, plan); });
  run("boot_protocol", [&] { return check_boot_protocol(machine, plan); });
  run("segments", [&] { return check_expected(machine, plan); });
}

// arch/x86/kernel/pci-dma.c, pci_swiotlb_detect: with any memory above 4 GiB.
uint64_t device_memory(const LoadPlan& plan) {
  if (plan.main_region().end() <= four_gib) return 0;
  return find_option(plan.command_line.text, "swiotlb") == "noforce" ? 0 : bounce_buffers;
}

constexpr std::array loaders = {
    Loader{LoadCall::kexec_file_load, compose, check},
    Loader{LoadCall::kexec_load, x86_64::compose_segments, x86_64::check_segments_of_ours}};

}  // namespace

CommandLineLimit x86_64::command_line_limit(const BzImage& header) {
  uint64_t taken = elfcorehdr_option + 1;
  return {header.command_line_size - std::min(header.command_line_size, taken),
          fmt::format("this kernel takes {}, and elfcorehdr= needs {} of them:", header.command_line_size,
                      taken)};
}

Outcome x86_64::check_bzimage(const Machine& machine, const BzImage& header) {
  if (!header.entry_64bit) return failed("it has no 64-bit entry point (xloadflags): a 32-bit kernel");
  if (!header.above_4g)
    return failed("it cannot be loaded above 4 GiB (xloadflags), which the kernel requires");
  if (!header.relocatable) {
    return failed(
        fmt::format("it runs only at {:#x} (CONFIG_RELOCATABLE is off): it would overwrite the crashed "
                    "kernel's memory",
                    header.preferred_address));
  }
  bool five_level =
      machine.kcore &&
      Vmcoreinfo::parse(machine.kcore->vmcoreinfo).number("pgtable_l5_enabled").value_or(0) != 0;
  if (five_level && !header.five_level)
    return failed("this machine runs with 5-level page tables, and the kernel cannot be entered with them");
  return ok(fmt::format("protocol {}.{:02}, 64-bit entry, relocatable, {} of memory at a multiple of {} KiB",
                        header.protocol >> 8, header.protocol & 0xff, mib(header.init_size),
                        header.alignment >> 10));
}

Outcome x86_64::check_low_memory(const LoadPlan& plan) {
  if (plan.crash_regions.front().start < four_gib) return ok("the crash kernel has memory below 4 GiB");
  return warning(
      "all its memory is above 4 GiB: devices that reach only 32 bits will not work; boot with "
      "crashkernel=SIZE,low too");
}

const Architecture x86_64_architecture = {
    .name = "x86-64",
    .machine_name = "x86_64",
    .elf_machine = elf64::machine_x86_64,
    .has_device_tree = false,
    .crash_defaults = crash_defaults,
    .read_kernel = read_kernel,
    .loaders = loaders,
    .device_memory = device_memory,
    .digest = {.code = &purgatory::x86_64_code,
               .maps_memory = false,
               .by_kernel = true,
               .plain_rate = 150e6,
               .fast_rate = 800e6},
};

}  // namespace kdk
