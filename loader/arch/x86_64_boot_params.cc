#include "loader/arch/x86_64_boot_params.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace kdk::x86_64 {
namespace {

// Offsets in struct boot_params.
constexpr uint64_t screen_info_size = 0x40;  // at 0
constexpr uint64_t acpi_rsdp_at = 0x70;
constexpr uint64_t ext_initrd_at = 0xc0;
constexpr uint64_t ext_initrd_size_at = 0xc4;
constexpr uint64_t ext_command_line_at = 0xc8;
constexpr uint64_t edid_at = 0x140;
constexpr uint64_t edid_size = 0x80;
constexpr uint64_t e820_count_at = 0x1e8;
constexpr uint64_t header_at = 0x1f1;
constexpr uint64_t header_jump_at = 0x201;  // its displacement tells where the header ends
constexpr uint64_t header_limit = 0x290;    // edd_mbr_sig_buffer follows
constexpr uint64_t loader_type_at = 0x210;
constexpr uint64_t initrd_at = 0x218;
constexpr uint64_t initrd_size_at = 0x21c;
constexpr uint64_t command_line_at = 0x228;
constexpr uint64_t subarch_at = 0x23c;
constexpr uint64_t setup_data_at = 0x250;
constexpr uint64_t e820_at = 0x2d0;
constexpr uint64_t max_e820 = 128;

constexpr uint8_t kexec_loader = 0xd0;
constexpr uint64_t mib1 = 0x100000;

struct E820Row {
  ul64 start;
  ul64 size;
  ul32 type;
};
static_assert(sizeof(E820Row) == 20 && alignof(E820Row) == 1);

// As arch/x86/kernel/e820.c, e820_type_to_string, names them in /proc/iomem.
struct KeptName {
  std::string_view name;
  E820Entry::Type type;
};
constexpr std::array kept_names = {KeptName{"ACPI Tables", E820Entry::Type::acpi},
                                   KeptName{"ACPI Non-volatile Storage", E820Entry::Type::nvs},
                                   KeptName{"Reserved", E820Entry::Type::reserved},
                                   KeptName{"reserved", E820Entry::Type::reserved},
                                   KeptName{"Unusable memory", E820Entry::Type::unusable}};

void store_split(std::vector<uint8_t>& params, uint64_t low_at, uint64_t high_at, uint64_t value) {
  store(params, low_at, ul32(static_cast<uint32_t>(value)));
  store(params, high_at, ul32(static_cast<uint32_t>(value >> 32)));
}

void copy_part(std::vector<uint8_t>& to, Bytes from, uint64_t at, uint64_t size) {
  std::copy_n(from.begin() + static_cast<ptrdiff_t>(at), size, to.begin() + static_cast<ptrdiff_t>(at));
}

// The screen as the firmware left it, so that the crash kernel's console is seen.
void copy_running(std::vector<uint8_t>& params, const Machine& machine) {
  if (!machine.boot_params.empty()) {
    copy_part(params, machine.boot_params, 0, screen_info_size);
    copy_part(params, machine.boot_params, edid_at, edid_size);
    copy_part(params, machine.boot_params, acpi_rsdp_at, sizeof(ul64));
    copy_part(params, machine.boot_params, subarch_at, sizeof(ul32) + sizeof(ul64));
  }
  if (machine.acpi_rsdp) store(params, acpi_rsdp_at, ul64(*machine.acpi_rsdp));
}

}  // namespace

std::vector<E820Entry> make_e820(const Machine& machine, const LoadPlan& plan, const Range& elfcorehdr) {
  std::vector<Range> ram = plan.crash_regions;
  for (const Range& range : plan.system_ram) {
    if (range.start < mib1) ram.push_back({range.start, std::min(range.end(), mib1) - range.start});
  }
  std::vector<E820Entry> entries;
  for (const Range& range : subtract_ranges(merge_ranges(ram), {elfcorehdr}))
    entries.push_back({range, E820Entry::Type::ram});
  for (const KeptName& kept : kept_names) {
    std::vector<Range> ranges;
    for (const IomemEntry& entry : machine.memory.entries) {
      if (entry.name == kept.name) ranges.push_back(entry.range);
    }
    // RAM wins: kernels list what they set aside inside it, too.
    for (const Range& range : subtract_ranges(merge_ranges(ranges), ram))
      entries.push_back({range, kept.type});
  }
  std::sort(entries.begin(), entries.end(),
            [](const E820Entry& a, const E820Entry& b) { return a.memory < b.memory; });
  if (entries.size() > max_e820) {
    throw Error(Errc::unsupported,
                fmt::format("the crash kernel's memory map has {} entries; {} fit", entries.size(), max_e820))
        .with_hint("use --syscall file");
  }
  return entries;
}

std::vector<uint8_t> make_boot_params(const Machine& machine, const LoadPlan& plan, Bytes kernel_file,
                                      const BootParamsRequest& request) {
  std::vector<uint8_t> params(boot_params_size);
  uint64_t header_end = header_jump_at + 1 + kernel_file[header_jump_at];
  if (header_end > header_limit || header_end > kernel_file.size() || header_end <= setup_data_at)
    throw Error(Errc::format, fmt::format("the setup header ends at offset {:#x}", header_end));
  copy_part(params, kernel_file, header_at, header_end - header_at);
  copy_running(params, machine);
  params[loader_type_at] = kexec_loader;
  store(params, setup_data_at, ul64(0));
  store_split(params, command_line_at, ext_command_line_at, request.command_line.start);
  store_split(params, initrd_at, ext_initrd_at, request.initrd.start);
  store_split(params, initrd_size_at, ext_initrd_size_at, request.initrd.size);

  std::vector<E820Entry> memory = make_e820(machine, plan, request.elfcorehdr);
  params[e820_count_at] = static_cast<uint8_t>(memory.size());
  for (size_t i = 0; i < memory.size(); ++i) {
    E820Row row;
    row.start = memory[i].memory.start;
    row.size = memory[i].memory.size;
    row.type = static_cast<uint32_t>(memory[i].type);
    store(params, e820_at + i * sizeof(row), row);
  }
  return params;
}

std::vector<E820Entry> read_e820(Bytes boot_params) {
  unsigned count = boot_params.size() == boot_params_size ? boot_params[e820_count_at] : 0;
  if (count > max_e820) throw Error(Errc::format, fmt::format("{} entries in the memory map", count));
  std::vector<E820Entry> entries;
  for (unsigned i = 0; i < count; ++i) {
    std::optional<E820Row> row = load<E820Row>(boot_params, e820_at + i * sizeof(E820Row));
    entries.push_back({{row->start, row->size}, static_cast<E820Entry::Type>(+row->type)});
  }
  return entries;
}

}  // namespace kdk::x86_64
