#include "loader/arch/arm64_boot_checks.h"

#include <fmt/format.h>

#include <algorithm>

namespace kdk::arm64 {
namespace {

// acpi=off|on|force: every one on the line counts, and off wins.
struct AcpiOptions {
  bool off = false;
  bool force = false;
};

AcpiOptions read_acpi_options(std::string_view line) {
  AcpiOptions options;
  for (const std::string& option : split_command_line(line)) {
    if (option == "--") break;  // what follows belongs to init
    options.off = options.off || option == "acpi=off";
    options.force = options.force || option == "acpi=force";
  }
  return options;
}

// The properties of the UEFI memory map that the kernel would ask for in vain.
std::vector<std::string_view> missing_properties(const DeviceTreePlan& tree) {
  std::vector<std::string_view> missing;
  for (std::string_view name : tree.uefi_wanted) {
    if (!tree.memory.uefi.contains(name)) missing.push_back(name);
  }
  return missing;
}

// Why the kernel would not take its memory from UEFI; empty when it would.
std::string why_no_uefi(const DeviceTreePlan& tree) {
  if (!tree.memory.uefi.contains(uefi_system_table)) return fmt::format("there is no {}", uefi_system_table);
  if (tree.uefi_wanted.empty())
    return "the UEFI memory map is for kernels with CONFIG_EFI, which this one lacks";
  std::vector<std::string_view> missing = missing_properties(tree);
  if (missing.empty()) return "";
  return fmt::format("of the UEFI memory map {} is missing", fmt::join(missing, ", "));
}

// The kernel maps and follows what these numbers say without looking for a magic number.
Outcome check_uefi_map(const Machine& machine, const LoadPlan& plan) {
  const DeviceTreePlan& tree = *plan.device_tree;
  auto number = [&](std::string_view name) { return tree.memory.uefi.at(name); };
  uint64_t size = number(uefi_map_size);
  uint64_t descriptor = number(uefi_descriptor_size);
  if (size == 0 || descriptor == 0 || size % descriptor != 0 || !checked_add(number(uefi_map_start), size)) {
    return failed(fmt::format(
        "the UEFI memory map has {} bytes in descriptors of {}: the crash kernel would find no memory: use "
        "the device tree this machine was booted with",
        size, descriptor));
  }
  Range map{number(uefi_map_start), size};
  for (const Range& region : plan.crash_regions) {
    if (!region.overlaps(map)) continue;
    return failed(
        fmt::format("the UEFI memory map {} is in the crash region, which the crash kernel "
                    "overwrites: use the device tree this machine was booted with",
                    to_string(map)));
  }
  if (!machine.device_tree.empty() && read_tree_memory(machine.device_tree).uefi != tree.memory.uefi) {
    return failed(
        "its linux,uefi-* properties are not those of this boot (firmware puts its memory map elsewhere each "
        "time): the crash kernel would read memory that is something else now: leave --dtb out, or copy "
        "/sys/firmware/fdt again");
  }
  return ok(fmt::format("memory from the UEFI memory map at {}, devices from {}", to_string(map),
                        tree.memory.only_chosen ? "ACPI" : "the tree"));
}

std::string list(const std::vector<Range>& ranges) {
  constexpr size_t most = 4;
  std::string text;
  for (size_t i = 0; i < std::min(ranges.size(), most); ++i)
    text += (i == 0 ? "" : ", ") + to_string(ranges[i]);
  if (ranges.size() > most) text += fmt::format(" and {} more", ranges.size() - most);
  return text;
}

Outcome check_memory_nodes(const Machine& machine, const LoadPlan& plan, const std::string& no_uefi) {
  const DeviceTreePlan& tree = *plan.device_tree;
  if (inside_any(plan.main_region(), tree.memory.nodes))
    return ok("memory nodes: " + list(tree.memory.nodes));
  std::string found = tree.memory.nodes.empty()
                          ? "it has no memory node in use"
                          : fmt::format("its memory nodes ({}) do not hold the crash region {}",
                                        list(tree.memory.nodes), to_string(plan.main_region()));
  std::string_view remedy = tree.source != machine.device_tree_source
                                ? "give --dtb a tree with this machine's memory nodes, or leave it out"
                            : tree.uefi_wanted.empty()
                                ? "use a kernel with CONFIG_EFI, or give a tree with memory nodes by --dtb"
                                : "give a tree with this machine's memory nodes by --dtb (--syscall kexec)";
  return failed(fmt::format("{}, and {}: the crash kernel would find no memory and die silently: {}", found,
                            no_uefi, remedy));
}

// Cores without pages of some size, by MIDR_EL1: implementer in bits 31-24, part number in bits 15-4.
// Source: their technical reference manuals, ID_AA64MMFR0_EL1, field TGran16; QEMU's models of them agree.
struct Core {
  uint64_t implementer;
  uint64_t part;
  std::string_view name;
  uint64_t missing_page_size;
};
constexpr uint64_t kib = 1024;
constexpr std::array cores = {Core{0x41, 0xd03, "Cortex-A53", 16 * kib},
                              Core{0x41, 0xd07, "Cortex-A57", 16 * kib},
                              Core{0x41, 0xd08, "Cortex-A72", 16 * kib}};

const Core* find_core_without(const CpuModel& cpu, uint64_t page_size) {
  auto found = std::find_if(cores.begin(), cores.end(), [&](const Core& core) {
    return core.missing_page_size == page_size && core.implementer == (cpu.midr >> 24 & 0xff) &&
           core.part == (cpu.midr >> 4 & 0xfff);
  });
  return found == cores.end() ? nullptr : &*found;
}

}  // namespace

Outcome check_tree_memory(const Machine& machine, const LoadPlan& plan) {
  const TreeMemory& memory = plan.device_tree->memory;
  std::string no_uefi = why_no_uefi(*plan.device_tree);
  Outcome outcome =
      no_uefi.empty() ? check_uefi_map(machine, plan) : check_memory_nodes(machine, plan, no_uefi);
  if (outcome.status != Check::Status::ok) return outcome;
  AcpiOptions acpi = read_acpi_options(plan.command_line.text);
  if (acpi.off && memory.only_chosen) {
    return failed(
        "acpi=off is on the command line, and the device tree describes no devices: the crash kernel would "
        "find no interrupt controller: leave acpi=off out");
  }
  if (acpi.force && !acpi.off && !no_uefi.empty()) {
    return failed(fmt::format(
        "acpi=force is on the command line, and {}: the crash kernel would find no ACPI tables and ignore "
        "the device tree: leave acpi=force out",
        no_uefi));
  }
  return outcome;
}

Outcome check_page_size(const Machine& machine, const LoadPlan& plan) {
  uint64_t pages = plan.image.page_size;
  if (pages == 0) return ok("the image does not say its page size");
  if (pages == machine.page_size) return ok(fmt::format("{} KiB, as the running kernel", pages / kib));
  for (const CpuModel& cpu : machine.cpu_models) {
    const Core* core = find_core_without(cpu, pages);
    if (core == nullptr) continue;
    return failed(
        fmt::format("the kernel has pages of {} KiB, and CPU {} ({}) has none of that size: it would "
                    "stop at its first instructions: use a kernel with other pages",
                    pages / kib, cpu.cpu, core->name));
  }
  std::string running = machine.page_size ? fmt::format("the running kernel {} KiB", *machine.page_size / kib)
                                          : std::string("how large the running kernel's are is not known");
  return warning(fmt::format(
      "the kernel has pages of {} KiB, {}: a CPU without such pages {}: if in doubt, use "
      "a kernel with the running kernel's pages",
      pages / kib, running,
      plan.call == LoadCall::kexec_load
          ? "would stop at its first instructions, which only a test shows"
          : "is noticed by the running kernel, which then refuses the image and has freed the one before"));
}

}  // namespace kdk::arm64
