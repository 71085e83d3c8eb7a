#include "loader/plan/segment_checks.h"

#include <fmt/format.h>

#include "loader/plan/elf64.h"

namespace kdk {
namespace {

constexpr size_t max_segments = 16;  // KEXEC_SEGMENT_MAX
constexpr uint64_t largest_page = 64 << 10;
constexpr uint64_t max_kernel_memory = uint64_t{1} << 30;
// A VMCOREINFO note: VMCOREINFO_BYTES of include/linux/vmcore_info.h is a page, here one of 64 KiB, behind
// its header and name. Per-CPU notes are far smaller.
constexpr uint64_t max_note_size = largest_page + 4096;
constexpr uint64_t physical_address_limit = uint64_t{1} << 52;

// One program header against the memory map. Throws what is wrong with it.
void check_program_header(const elf64::ProgramHeader& row, const LoadPlan& plan) {
  std::optional<uint64_t> end = checked_add(row.paddr, row.memsz);
  if (row.memsz == 0 || !end) throw Error(Errc::format, "its size is zero or wraps");
  Range memory{row.paddr, row.memsz};
  if (row.offset != row.paddr || row.filesz != row.memsz)
    throw Error(Errc::format, "offset and address differ");
  if (*end > physical_address_limit)
    throw Error(Errc::format, to_string(memory) + " is beyond 52 address bits");
  if (!inside_any(memory, plan.system_ram))
    throw Error(Errc::format, to_string(memory) + " is not System RAM");
  for (const Range& crash : plan.crash_regions) {
    if (crash.overlaps(memory)) throw Error(Errc::format, to_string(memory) + " overlaps the crash region");
  }
}

}  // namespace

Outcome check_segments(const Machine& machine, const LoadPlan& plan) {
  if (plan.segments.size() > max_segments)
    return failed(fmt::format("{} segments; the kernel takes 16", plan.segments.size()));
  uint64_t total = 0;
  for (const Segment& segment : plan.segments) {
    std::string what = segment.name + " " + to_string(segment.memory);
    uint64_t page = machine.page_size.value_or(largest_page);
    if (segment.memory.start % page != 0 || segment.memory.size % page != 0) {
      return failed(fmt::format("{} is not aligned to the running kernel's {} byte pages", what, page));
    }
    if (segment.data.empty() || segment.data.size() > segment.memory.size) {
      return failed(fmt::format("{} bytes of data for {}", segment.data.size(), what));
    }
    if (!plan.main_region().contains(segment.memory)) return failed(what + " leaves the main crash region");
    for (const Segment& other : plan.segments) {
      if (&other != &segment && other.memory.overlaps(segment.memory))
        return failed(what + " overlaps " + other.name);
    }
    total += segment.memory.size;
  }
  if (std::optional<Outcome> refused = refuse_half_of_memory(machine, plan, total)) return *refused;
  return ok(fmt::format("{} segments, {}", plan.segments.size(), mib(total)));
}

Outcome check_cpu_notes(const Machine& machine) {
  if (machine.cpus_without_note.empty()) return ok(fmt::format("of {} CPUs", machine.cpu_notes.size()));
  return warning(
      fmt::format("CPU {}: no crash_notes in /sys/devices/system/cpu: its registers will not be in the dump",
                  fmt::join(machine.cpus_without_note, ", ")));
}

Outcome check_elfcorehdr(const LoadPlan& plan) {
  const Segment* segment = plan.find_segment("elfcorehdr");
  if (segment == nullptr) return failed("there is none");
  Cursor cursor(segment->data, "elfcorehdr");
  auto header = cursor.read<elf64::Header>();
  if (header.ident != elf64::ident_le64 || header.phnum != plan.core_headers.size())
    return failed("its ELF header is wrong");
  std::vector<Range> ram;
  uint64_t notes = 0;
  for (unsigned i = 0; i < header.phnum; ++i) {
    auto row = cursor.read<elf64::ProgramHeader>();
    with_context(fmt::format("program header {} ({})", i, to_string(plan.core_headers[i].kind)), [&] {
      check_program_header(row, plan);
      if (row.type == elf64::pt_note && row.memsz > max_note_size) {
        throw Error(Errc::format, fmt::format("a note of {:#x} bytes is not plausible", +row.memsz));
      }
      if (plan.core_headers[i].kind == CoreHeader::Kind::kernel_image && row.memsz > max_kernel_memory) {
        throw Error(Errc::format, fmt::format("a kernel of {:#x} bytes is not plausible", +row.memsz));
      }
    });
    if (row.type == elf64::pt_note) notes += row.memsz;
    if (plan.core_headers[i].kind == CoreHeader::Kind::ram) ram.push_back({row.paddr, row.memsz});
  }
  // Every byte of RAM that is to be dumped exactly once.
  if (total_size(ram) != total_size(merge_ranges(ram))) return failed("RAM ranges overlap each other");
  if (merge_ranges(ram) != plan.dumped_ram) return failed("RAM is not covered exactly");
  return ok(fmt::format("{} program headers, {} of RAM, {} notes of {} bytes", +header.phnum,
                        mib(total_size(ram)), plan.cpu_notes.size() + 1, notes));
}

Outcome check_addresses(const LoadPlan& plan) {
  if (!plan.addresses) return failed("nothing was found out");
  if (plan.addresses->problems.empty()) {
    return ok(fmt::format("kernel image {:#x} at {}, from {}", plan.addresses->image->vaddr,
                          to_string(plan.addresses->image->memory), plan.addresses->source));
  }
  std::string all;
  for (const std::string& problem : plan.addresses->problems) all += (all.empty() ? "" : "; ") + problem;
  // Debuggers lose a convenience, reading /proc/vmcore loses nothing.
  return warning(all);
}

Outcome check_dtb(const LoadPlan& plan) {
  const Segment* dtb = plan.find_segment("dtb");
  const Segment* header = plan.find_segment("elfcorehdr");
  const Segment* initrd = plan.find_segment("initrd");
  if (dtb == nullptr || header == nullptr || !plan.device_tree) return failed("there is none");
  ChosenNode chosen = read_chosen(dtb->data);
  if (chosen.elfcorehdr != header->memory) return failed("linux,elfcorehdr is wrong");
  std::vector<Range> usable(plan.crash_regions.rbegin(), plan.crash_regions.rend());
  if (chosen.usable_memory != usable) return failed("linux,usable-memory-range is wrong");
  if (chosen.initrd.has_value() != (initrd != nullptr))
    return failed("linux,initrd-start does not fit the plan");
  if (initrd != nullptr && *chosen.initrd != Range{initrd->memory.start, initrd->data.size()}) {
    return failed("linux,initrd-start or linux,initrd-end is wrong");
  }
  if (chosen.bootargs != plan.command_line.text) return failed("bootargs are wrong");
  if (!chosen.has_seeds) return failed("kaslr-seed or rng-seed is missing or zero");
  for (const Range& reserved : chosen.reservations) {
    bool ours = reserved == *chosen.elfcorehdr || (chosen.initrd && reserved == *chosen.initrd);
    for (const Range& crash : plan.crash_regions) {
      if (!ours && crash.overlaps(reserved))
        return failed(to_string(reserved) + " is reserved inside the crash region");
    }
  }
  return ok(fmt::format("{} bytes from {}, {} edits", dtb->data.size(), plan.device_tree->source,
                        plan.device_tree->edits.size()));
}

}  // namespace kdk
