#include "loader/checks.h"

#include <fmt/format.h>

#include <algorithm>

#include "loader/elf64.h"

namespace kdk {
namespace {

constexpr size_t max_segments = 16;  // KEXEC_SEGMENT_MAX
constexpr uint64_t largest_page = 64 << 10;
constexpr uint64_t block_size = uint64_t{2} << 20;
constexpr uint64_t max_kernel_memory = uint64_t{1} << 30;
constexpr uint64_t max_note_size = 64 << 10;
constexpr uint64_t physical_address_limit = uint64_t{1} << 52;

struct Outcome {
  Check::Status status = Check::Status::ok;
  std::string detail;
};
Outcome ok(std::string detail) {
  return {Check::Status::ok, std::move(detail)};
}
Outcome warning(std::string detail) {
  return {Check::Status::warning, std::move(detail)};
}
Outcome failed(std::string detail) {
  return {Check::Status::failed, std::move(detail)};
}

std::string mib(uint64_t bytes) {
  return fmt::format("{:.1f} MiB", static_cast<double>(bytes) / (1 << 20));
}

Outcome check_permission(const Machine& machine) {
  if (machine.load_disabled) {
    return failed(
        "kernel.kexec_load_disabled is 1: nothing can be loaded until the next boot (the setting cannot be "
        "undone)");
  }
  if (machine.load_limit_used_up) {
    return failed(
        "kernel.kexec_load_limit_panic is 0: no more crash kernels can be loaded until the next boot");
  }
  if (machine.lockdown == "integrity" || machine.lockdown == "confidentiality") {
    return failed(
        fmt::format("kernel lockdown is \"{}\" (Secure Boot): kexec_load is refused, and a kernel without "
                    "CONFIG_KEXEC_FILE has no other way; turn lockdown or Secure Boot off",
                    machine.lockdown));
  }
  return ok(machine.lockdown.empty() ? "no lockdown" : "lockdown is " + machine.lockdown);
}

Outcome check_crash_region(const Machine& machine, const LoadPlan& plan) {
  for (const Range& region : plan.crash_regions) {
    if (!inside_any(region, plan.system_ram)) return failed(to_string(region) + " is not inside System RAM");
  }
  uint64_t main = plan.main_region().size;
  uint64_t total = total_size(plan.crash_regions);
  // The kernel reports the main region, or both (kernel/crash_core.c, crash_get_memory_size, changed over
  // time).
  if (machine.crash_size && *machine.crash_size != main && *machine.crash_size != total) {
    return failed(fmt::format("/sys/kernel/kexec_crash_size is {} bytes, /proc/iomem shows {}",
                              *machine.crash_size, total));
  }
  return ok(fmt::format("main {} ({}){}", to_string(plan.main_region()), mib(main),
                        plan.crash_regions.size() == 2 ? ", low " + to_string(plan.crash_regions[0]) : ""));
}

// What kernel/kexec_core.c, sanity_check_segment_list would refuse, said in words.
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
  // kexec_load refuses more than half of the RAM it manages, which excludes the crash regions.
  if (total > (total_size(plan.system_ram) - total_size(plan.crash_regions)) / 2) {
    return failed(fmt::format("{} of segments is more than half of all memory", mib(total)));
  }
  return ok(fmt::format("{} segments, {}", plan.segments.size(), mib(total)));
}

// Documentation/arch/arm64/booting.rst.
Outcome check_boot_protocol(const LoadPlan& plan) {
  const Segment* kernel = plan.find_segment("kernel");
  const Segment* initrd = plan.find_segment("initrd");
  const Segment* dtb = plan.find_segment("dtb");
  const Segment* trampoline = plan.find_segment("trampoline");
  if (kernel == nullptr || dtb == nullptr || trampoline == nullptr) return failed("a segment is missing");
  if ((kernel->memory.start - plan.text_offset) % block_size != 0)
    return failed("the kernel's base is not 2 MiB aligned");
  if (kernel->memory.size < plan.image_size)
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
  if (plan.entry != trampoline->memory.start) return failed("the entry point is not the trampoline");
  if (load<ul64>(trampoline->data, 24) != dtb->memory.start ||
      load<ul64>(trampoline->data, 32) != kernel->memory.start) {
    return failed("the trampoline points elsewhere");
  }
  std::string pages =
      plan.kernel_page_size == 0 ? "unknown" : fmt::format("{} KiB", plan.kernel_page_size >> 10);
  return ok(fmt::format("entry {:#x}, kernel pages {}", plan.entry, pages));
}

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

// Reads the finished header back, as fs/proc/vmcore.c will.
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
  // Every byte of RAM outside the crash regions exactly once.
  if (total_size(ram) != total_size(merge_ranges(ram))) return failed("RAM ranges overlap each other");
  if (merge_ranges(ram) != subtract_ranges(plan.system_ram, plan.crash_regions))
    return failed("RAM is not covered exactly");
  return ok(fmt::format("{} program headers, {} of RAM, {} notes of {} bytes", +header.phnum,
                        mib(total_size(ram)), plan.cpu_notes.size() + 1, notes));
}

Outcome check_addresses(const LoadPlan& plan) {
  if (plan.addresses.problems.empty()) {
    return ok(fmt::format("kernel image {:#x} at {}, from {}", plan.addresses.image->vaddr,
                          to_string(plan.addresses.image->memory), plan.addresses.source));
  }
  std::string all;
  for (const std::string& problem : plan.addresses.problems) all += (all.empty() ? "" : "; ") + problem;
  // Debuggers lose a convenience, reading /proc/vmcore loses nothing.
  return warning(all);
}

// Reads the finished tree back, as the crash kernel will.
Outcome check_dtb(const LoadPlan& plan) {
  const Segment* dtb = plan.find_segment("dtb");
  const Segment* header = plan.find_segment("elfcorehdr");
  const Segment* initrd = plan.find_segment("initrd");
  if (dtb == nullptr || header == nullptr) return failed("there is none");
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
  return ok(
      fmt::format("{} bytes from {}, {} edits", dtb->data.size(), plan.dtb_source, plan.dtb_edits.size()));
}

Outcome check_command_line(const LoadPlan& plan) {
  const std::string& line = plan.command_line.text;
  if (line.size() >= command_line_size) {
    return failed(
        fmt::format("{} characters; arm64 kernels cut it after {}", line.size(), command_line_size - 1));
  }
  if (line.find_first_of(std::string_view("\n\0", 2)) != std::string::npos)
    return failed("it holds a line break or a NUL");
  if (std::count(line.begin(), line.end(), '"') % 2 != 0) return failed("a double quote is not closed");
  if (!find_option(line, "panic"))
    return warning("without panic=N a failing crash kernel hangs the machine for ever");
  if (find_option(line, "crashkernel"))
    return warning("crashkernel= reserves memory the crash kernel cannot spare");
  return ok(fmt::format("{} characters ({})", line.size(), plan.command_line.source));
}

Outcome check_initrd(const LoadPlan& plan) {
  const MemoryEstimate& memory = plan.memory;
  if (!memory.initrd)
    return warning("none given: the crash kernel must have one built in or mount a root file system");
  const InitrdEstimate& initrd = *memory.initrd;
  std::string room =
      fmt::format("{} of {} {}", mib(memory.unpack_limit), mib(memory.usable),
                  memory.limited_by_tmpfs ? "(the root tmpfs takes half of what is free)" : "");
  if (initrd.memory > memory.unpack_limit) {
    return failed(fmt::format(
        "the initramfs unpacks to {}{}, but there is room for {}; the crash kernel would stop with "
        "\"Initramfs unpacking failed\": reserve a larger crashkernel= or make it smaller",
        initrd.over_limit ? "more than " : "", mib(initrd.memory), room));
  }
  if (!initrd.bounded) {
    return warning(fmt::format("its unpacked size is not known ({}): it must stay under {}",
                               to_string(initrd.members.back().format), room));
  }
  if (initrd.exact && !initrd.has_init) {
    return failed("the initramfs does not hold the program the kernel starts (rdinit=, default /init)");
  }
  std::string detail = fmt::format("unpacks to {}{} in {} files; room for {}", initrd.exact ? "" : "about ",
                                   mib(initrd.memory), initrd.files, room);
  if (initrd.memory > memory.unpack_limit / 10 * 9) return warning(detail + ": tight");
  return ok(detail);
}

}  // namespace

void run_checks(const Machine& machine, LoadPlan& plan) {
  // An Error inside a check is that check's failure; the others still run.
  auto run = [&](std::string name, auto&& check) {
    Outcome outcome;
    try {
      outcome = check();
    } catch (const Error& e) {
      outcome = failed(e.message());
    }
    plan.checks.push_back({std::move(name), outcome.status, std::move(outcome.detail)});
  };
  run("permission", [&] { return check_permission(machine); });
  run("crash_region", [&] { return check_crash_region(machine, plan); });
  run("segments", [&] { return check_segments(machine, plan); });
  run("boot_protocol", [&] { return check_boot_protocol(plan); });
  run("program_headers", [&] { return check_elfcorehdr(plan); });
  run("kernel_addresses", [&] { return check_addresses(plan); });
  run("device_tree", [&] { return check_dtb(plan); });
  run("command_line", [&] { return check_command_line(plan); });
  const Segment* initrd = plan.find_segment("initrd");
  plan.memory = estimate_memory(plan, initrd != nullptr ? initrd->data.size() : 0);
  run("initrd_unpacks", [&] {
    if (initrd != nullptr) plan.memory.initrd = estimate_unpacking(plan, initrd->data);
    return check_initrd(plan);
  });
}

}  // namespace kdk
