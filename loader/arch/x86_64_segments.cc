// x86-64 by kexec_load: a bzImage entered at its 64-bit entry point, with boot parameters, a memory map and
// program headers of our making.
//
// EFI run-time services are not handed on: the crash kernel boots as on a machine without EFI and finds ACPI
// by the address in its boot parameters.
//
// Sources: Documentation/arch/x86/boot.rst, "64-bit Boot Protocol"; arch/x86/kernel/crash.c
// (elf_header_exclude_ranges, crash_setup_memmap_entries).
#include <fmt/format.h>

#include <algorithm>

#include "core/formats/vmcoreinfo.h"
#include "loader/arch/x86_64.h"
#include "loader/arch/x86_64_boot_params.h"
#include "loader/arch/x86_64_trampoline.h"
#include "loader/plan/digest.h"
#include "loader/plan/elf64.h"
#include "loader/plan/placement.h"
#include "loader/plan/segment_checks.h"

namespace kdk::x86_64 {
namespace {

constexpr uint64_t entry_offset = 0x200;
// The crash kernel's own from its first instruction on; kernels set it aside when crashkernel= is given
// (arch/x86/kernel/setup.c, crash_reserve_low_1M), so nothing worth a dump is there.
constexpr Range low_memory = {0, 0x100000};

std::vector<uint8_t> whole_command_line(const LoadPlan& plan, uint64_t elfcorehdr) {
  std::string line = fmt::format("elfcorehdr={:#x} {}", elfcorehdr, plan.command_line.text);
  std::vector<uint8_t> bytes(line.begin(), line.end());
  bytes.push_back(0);
  return bytes;
}

// The protected-mode part; what follows it in the file is a signature.
std::vector<uint8_t> kernel_proper(const std::vector<uint8_t>& file, const BzImage& header) {
  auto start = file.begin() + static_cast<ptrdiff_t>(header.setup_size);
  return {start, start + static_cast<ptrdiff_t>(header.kernel_size)};
}

}  // namespace

void compose_segments(const Machine& machine, LoadInputs& inputs, LoadPlan& plan) {
  const BzImage& header = *plan.image.bzimage;
  plan.command_line_limit = command_line_limit(header);
  plan.addresses = find_addresses(machine);
  std::vector<Range> left_out = plan.crash_regions;
  left_out.push_back(low_memory);
  plan.dumped_ram = subtract_ranges(plan.system_ram, left_out);
  plan.core_headers = list_core_headers(machine, *plan.addresses, plan.dumped_ram);
  std::vector<uint8_t> elfcorehdr = make_elfcorehdr(plan.core_headers, elf64::machine_x86_64);

  Placer placer(plan.main_region());
  Range kernel{0, whole_pages(header.init_size)};
  kernel.start = placer.from_bottom("kernel", kernel.size, std::max(header.alignment, page_size));
  Range core{0, whole_pages(elfcorehdr_size(machine, plan.core_headers.size()))};
  core.start = placer.from_top("elfcorehdr", core.size, page_size);
  uint64_t trampoline_at = placer.from_top("trampoline", trampoline_size, page_size);
  std::vector<uint8_t> line = whole_command_line(plan, core.start);
  Range params{0, boot_params_size + whole_pages(line.size())};
  params.start = placer.from_top("boot_params", params.size, page_size);
  BootParamsRequest request;
  request.command_line = {params.start + boot_params_size, line.size()};
  request.elfcorehdr = core;
  if (inputs.initrd && !inputs.initrd->bytes.empty()) {
    uint64_t size = inputs.initrd->bytes.size();
    request.initrd = {placer.from_top("initrd", whole_pages(size), page_size), size};
  }
  std::vector<uint8_t> boot_params = make_boot_params(machine, plan, inputs.kernel.bytes, request);
  boot_params.insert(boot_params.end(), line.begin(), line.end());

  plan.segments.push_back({"kernel", kernel, kernel_proper(inputs.kernel.bytes, header)});
  if (request.initrd.size != 0) {
    plan.segments.push_back({"initrd",
                             {request.initrd.start, whole_pages(request.initrd.size)},
                             std::move(inputs.initrd->bytes)});
  }
  plan.segments.push_back({"boot_params", params, std::move(boot_params)});
  plan.segments.push_back({"trampoline",
                           {trampoline_at, trampoline_size},
                           make_trampoline(trampoline_at, params.start, kernel.start + entry_offset)});
  plan.segments.push_back(
      {"elfcorehdr", core, std::move(elfcorehdr), plan.header_upkeep == HeaderUpkeep::kernel});
  plan.entry = trampoline_at;
  add_digest(machine, inputs.digest, placer, plan);
}

namespace {

Outcome check_boot_protocol(const Machine& machine, const LoadPlan& plan) {
  const BzImage& header = *plan.image.bzimage;
  Outcome image = check_bzimage(machine, header);
  if (image.status != Check::Status::ok) return image;
  const Segment* kernel = plan.find_segment("kernel");
  const Segment* params = plan.find_segment("boot_params");
  const Segment* trampoline = plan.find_segment("trampoline");
  if (kernel == nullptr || params == nullptr || trampoline == nullptr) return failed("a segment is missing");
  // Below its preferred address a kernel moves itself up to it, into the crashed machine's memory.
  if (kernel->memory.start < std::max(header.preferred_address, lowest_kernel)) {
    return failed(fmt::format("the crash region is below {:#x}, where this kernel wants to be",
                              header.preferred_address));
  }
  if (kernel->memory.start % header.alignment != 0 || kernel->memory.size < header.init_size)
    return failed("the kernel's segment is misaligned or too small");
  TrampolineTargets targets = read_trampoline(trampoline->data);
  if (!enters_trampoline(plan) || targets.boot_params != params->memory.start ||
      targets.kernel_entry != kernel->memory.start + entry_offset) {
    return failed("the trampoline points elsewhere");
  }
  return ok(fmt::format("{}, entry {:#x}", image.detail, *plan.entry));
}

// The RAM in the map must be the crash kernel's own to the byte: anything more is memory of the crashed one.
Outcome check_memory_map(const LoadPlan& plan) {
  const Segment* params = plan.find_segment("boot_params");
  const Segment* core = plan.find_segment("elfcorehdr");
  if (params == nullptr || core == nullptr) return failed("there is none");
  std::vector<E820Entry> map = read_e820(Bytes(params->data).first(boot_params_size));
  std::vector<Range> ram, all;
  for (const E820Entry& entry : map) {
    if (entry.type == E820Entry::Type::ram && entry.memory.end() > low_memory.end())
      ram.push_back(entry.memory);
    for (const Range& other : all) {
      if (other.overlaps(entry.memory)) return failed(to_string(entry.memory) + " is listed twice");
    }
    all.push_back(entry.memory);
  }
  if (merge_ranges(ram) != subtract_ranges(plan.crash_regions, {core->memory}))
    return failed("its RAM is not the crash regions without the elfcorehdr");
  return ok(fmt::format("{} entries, {} of RAM above 1 MiB", map.size(), mib(total_size(ram))));
}

// A machine that booted by EFI has its ACPI tables where only EFI tells.
Outcome check_acpi(const Machine& machine) {
  if (!machine.firmware_bits) return ok("the firmware is not EFI: the crash kernel finds ACPI by itself");
  if (machine.acpi_rsdp) return ok(fmt::format("ACPI's root table at {:#x}", *machine.acpi_rsdp));
  return failed(
      "the firmware is EFI and /sys/firmware/efi/systab does not say where ACPI's tables are; use "
      "--syscall file");
}

// With memory encrypted by the CPU, what is copied to a segment and how it is entered differ.
Outcome check_encryption(const Machine& machine) {
  uint64_t mask = 0;
  if (machine.kcore) mask = Vmcoreinfo::parse(machine.kcore->vmcoreinfo).number("sme_mask").value_or(0);
  if (mask == 0) return ok("memory is not encrypted by the CPU as far as is known");
  return failed(fmt::format("the CPU encrypts memory (sme_mask {:#x}): only --syscall file", mask));
}

}  // namespace

void check_segments_of_ours(const Machine& machine, LoadPlan& plan) {
  auto run = [&](std::string name, auto&& check_it) {
    plan.checks.push_back(run_check(std::move(name), check_it));
  };
  run("low_memory", [&] { return check_low_memory(plan); });
  run("boot_protocol", [&] { return check_boot_protocol(machine, plan); });
  run("segments", [&] { return check_segments(machine, plan); });
  run("memory_map", [&] { return check_memory_map(plan); });
  run("acpi", [&] { return check_acpi(machine); });
  run("memory_encryption", [&] { return check_encryption(machine); });
  run("cpu_notes", [&] { return check_cpu_notes(machine); });
  run("program_headers", [&] { return check_elfcorehdr(plan); });
  run("kernel_addresses", [&] { return check_addresses(plan); });
}

}  // namespace kdk::x86_64
