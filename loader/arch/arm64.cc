// arm64: an Image by kexec_load, with a device tree of our own making and a trampoline that hands it over.
// arm64_file.cc has kexec_file_load, which Debian's arm64 kernels lack.
//
// Sources: Documentation/arch/arm64/booting.rst; arch/arm64/kernel/machine_kexec.c.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "loader/arch/arm64_boot_checks.h"
#include "loader/arch/arm64_file.h"
#include "loader/arch/trampoline.h"
#include "loader/plan/digest.h"
#include "loader/plan/elf64.h"
#include "loader/plan/placement.h"
#include "loader/plan/segment_checks.h"

namespace kdk {
namespace {

using arm64::block_size;
using arm64::command_line_size;

// Segments are aligned to the largest page size an arm64 kernel can have: the running kernel wants its own
// page size, the crash kernel may have another.
constexpr uint64_t segment_alignment = 64 << 10;

constexpr uint64_t four_gib = uint64_t{4} << 30;
constexpr uint64_t bounce_buffers = uint64_t{64} << 20;  // IO_TLB_DEFAULT_SIZE of include/linux/swiotlb.h

// acpi_no_memhotplug: ACPI would offer memory that was plugged into the crashed machine for use, and the dump
// would be written over what it is to save. Why the others: docs/kdump-load.md.
constexpr std::array<std::string_view, 6> crash_defaults = {
    "reset_devices", "nr_cpus=1", "panic=10", "cma=0", "hugetlb_cma=0", "acpi_no_memhotplug"};

uint64_t whole_segments(uint64_t size) {
  return align_up(size, segment_alignment);
}

KernelInfo read_kernel(std::vector<uint8_t>& file) {
  KernelImage image = load_arm64_image(std::move(file));
  file = std::move(image.bytes);
  return image.info;
}

void compose(const Machine& machine, LoadInputs& inputs, LoadPlan& plan) {
  plan.command_line_limit = {command_line_size - 1, "arm64 kernels cut it after"};

  // What the crash kernel is told about the crashed machine.
  plan.addresses = find_addresses(machine);
  plan.dumped_ram = subtract_ranges(plan.system_ram, plan.crash_regions);
  plan.core_headers = list_core_headers(machine, *plan.addresses, plan.dumped_ram);
  std::vector<uint8_t> elfcorehdr = make_elfcorehdr(plan.core_headers, elf64::machine_aarch64);

  // Where everything goes.
  Placer placer(plan.main_region());
  uint64_t image_size = whole_segments(plan.image.image_size);
  uint64_t kernel_at =
      placer.from_bottom("kernel", image_size, block_size, plan.image.text_offset.value_or(0));
  uint64_t header_size = whole_segments(elfcorehdr_size(machine, plan.core_headers.size()));
  uint64_t header_at = placer.from_top("elfcorehdr", header_size, segment_alignment);
  uint64_t trampoline_at = placer.from_top("trampoline", whole_segments(trampoline_size), segment_alignment);
  uint64_t dtb_at = placer.from_top("dtb", block_size, block_size);
  std::optional<Range> initrd;
  if (inputs.initrd && !inputs.initrd->bytes.empty()) {
    uint64_t size = inputs.initrd->bytes.size();
    initrd = Range{placer.from_bottom("initrd", whole_segments(size), segment_alignment), size};
  }

  // The device tree names all of them, so it comes last.
  DtbRequest request;
  request.elfcorehdr = {header_at, header_size};
  request.usable_memory = arm64::usable_memory(plan.crash_regions);
  request.initrd = initrd;
  request.command_line = plan.command_line.text;
  request.seeds = inputs.seeds;
  InputFile source = inputs.dtb ? std::move(*inputs.dtb) : arm64::own_tree(machine);
  std::vector<uint8_t> dtb = arm64::make_tree(source, request, inputs.kernel.bytes, plan);

  plan.segments.push_back({"kernel", {kernel_at, image_size}, std::move(inputs.kernel.bytes)});
  if (initrd) {
    plan.segments.push_back(
        {"initrd", {initrd->start, whole_segments(initrd->size)}, std::move(inputs.initrd->bytes)});
  }
  uint64_t dtb_size = whole_segments(dtb.size());
  plan.segments.push_back({"dtb", {dtb_at, dtb_size}, std::move(dtb)});
  plan.segments.push_back(
      {"trampoline", {trampoline_at, whole_segments(trampoline_size)}, make_trampoline(dtb_at, kernel_at)});
  plan.segments.push_back(
      {"elfcorehdr", request.elfcorehdr, std::move(elfcorehdr), plan.header_upkeep == HeaderUpkeep::kernel});
  plan.entry = trampoline_at;
  add_digest(machine, inputs.digest, placer, plan);
}

// Documentation/arch/arm64/booting.rst.
Outcome check_boot_protocol(const LoadPlan& plan) {
  const Segment* kernel = plan.find_segment("kernel");
  const Segment* initrd = plan.find_segment("initrd");
  const Segment* dtb = plan.find_segment("dtb");
  const Segment* trampoline = plan.find_segment("trampoline");
  if (kernel == nullptr || dtb == nullptr || trampoline == nullptr) return failed("a segment is missing");
  if ((kernel->memory.start - plan.image.text_offset.value_or(0)) % block_size != 0)
    return failed("the kernel's base is not 2 MiB aligned");
  if (kernel->memory.size < plan.image.image_size)
    return failed("the kernel's segment is smaller than its image size");
  if (dtb->memory.start % 8 != 0 || dtb->data.size() > max_dtb_size)
    return failed("the device tree is misplaced or too big");
  if (align_down(dtb->memory.start, block_size) != align_down(dtb->memory.end() - 1, block_size)) {
    return failed("the device tree crosses a 2 MiB boundary");
  }
  if (initrd != nullptr) {
    // Both must lie in one 32 GiB window that starts at a 1 GiB boundary.
    uint64_t window = align_down(std::min(initrd->memory.start, kernel->memory.start), uint64_t{1} << 30);
    uint64_t end = std::max(initrd->memory.end(), kernel->memory.end());
    if (end - window > uint64_t{32} << 30) return failed("kernel and initrd are more than 32 GiB apart");
  }
  if (!enters_trampoline(plan)) return failed("the entry point does not lead to the trampoline");
  if (load<ul64>(trampoline->data, 24) != dtb->memory.start ||
      load<ul64>(trampoline->data, 32) != kernel->memory.start) {
    return failed("the trampoline points elsewhere");
  }
  return ok(fmt::format("entry {:#x}, kernel at {:#x}", *plan.entry, kernel->memory.start));
}

void check(const Machine& machine, LoadPlan& plan) {
  auto run = [&](std::string name, auto&& check_it) {
    plan.checks.push_back(run_check(std::move(name), check_it));
  };
  run("segments", [&] { return check_segments(machine, plan); });
  run("boot_protocol", [&] { return check_boot_protocol(plan); });
  run("page_size", [&] { return arm64::check_page_size(machine, plan); });
  run("cpu_notes", [&] { return check_cpu_notes(machine); });
  run("program_headers", [&] { return check_elfcorehdr(plan); });
  run("kernel_addresses", [&] { return check_addresses(plan); });
  run("device_tree", [&] { return check_dtb(plan); });
  run("device_tree_memory", [&] { return arm64::check_tree_memory(machine, plan); });
}

// arch/arm64/mm/init.c (mem_init): 64 MiB of bounce buffers below 4 GiB when there is memory above; none when
// there is no memory below. Seen in a 6.12 guest with a low and a high region.
uint64_t device_memory(const LoadPlan& plan) {
  bool above = plan.main_region().end() > four_gib;
  bool below = plan.crash_regions.front().start < four_gib;
  bool wanted = find_option(plan.command_line.text, "swiotlb") != "noforce";
  return above && below && wanted ? bounce_buffers : 0;
}

// Where it is not known whether the kernel has kexec_file_load, it most likely has not.
constexpr std::array loaders = {Loader{LoadCall::kexec_load, compose, check},
                                Loader{LoadCall::kexec_file_load, arm64::compose_files, arm64::check_files}};

}  // namespace

InputFile arm64::own_tree(const Machine& machine) {
  if (machine.device_tree.empty()) {
    throw Error(Errc::missing, "no device tree in /sys/firmware/fdt or /proc/device-tree")
        .with_hint("give one with --dtb");
  }
  return {machine.device_tree_source, machine.device_tree};
}

std::vector<uint8_t> arm64::make_tree(const InputFile& source, const DtbRequest& request, Bytes kernel,
                                      LoadPlan& plan) {
  return with_context(source.path, [&] {
    EditedDtb dtb = edit_dtb(source.bytes, request);
    plan.device_tree = DeviceTreePlan{source.path, std::move(dtb.edits), read_tree_memory(dtb.bytes),
                                      uefi_properties_read_by(kernel)};
    return std::move(dtb.bytes);
  });
}

std::vector<Range> arm64::usable_memory(const std::vector<Range>& crash_regions) {
  return {crash_regions.rbegin(), crash_regions.rend()};
}

const Architecture arm64_architecture = {
    .name = "arm64",
    .machine_name = "aarch64",
    .elf_machine = elf64::machine_aarch64,
    .has_device_tree = true,
    .crash_defaults = crash_defaults,
    .read_kernel = read_kernel,
    .loaders = loaders,
    .device_memory = device_memory,
    .digest = {.code = &purgatory::arm64_code,
               .maps_memory = true,
               .by_kernel = false,
               .plain_rate = 100e6,
               .fast_rate = 500e6},
};

}  // namespace kdk
