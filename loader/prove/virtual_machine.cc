#include "loader/prove/virtual_machine.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/base/bytes.h"
#include "core/formats/vmcoreinfo.h"
#include "loader/machine/parse.h"
#include "loader/plan/checks.h"
#include "loader/plan/command_line.h"

namespace kdk {
namespace {

constexpr uint64_t mib1 = uint64_t{1} << 20;
constexpr uint64_t gib1 = uint64_t{1} << 30;
constexpr uint64_t four_gib = 4 * gib1;
// More would fit, but QEMU keeps tables by the size of RAM; a region beyond is moved down.
constexpr uint64_t highest = 64 * gib1;
constexpr uint64_t region_alignment = 2 * mib1;
// For what firmware puts there: QEMU's device tree, SeaBIOS' own memory.
constexpr uint64_t bottom_margin = 16 * mib1;
constexpr uint64_t top_margin = 64 * mib1;
// x86-64: the first address that is no RAM when some of it is above 4 GiB.
constexpr uint64_t pc_low_end = 3 * gib1;
constexpr uint64_t arm_ram_start = gib1;

// At the bottom of the crashed kernel's memory: notes of 6144 CPUs, VMCOREINFO, the page tables of 64 GiB.
constexpr uint64_t bottom_size = 32 * mib1;
constexpr uint64_t note_pitch = 4096;
constexpr uint64_t vmcoreinfo_offset = 24 * mib1;
constexpr uint64_t vmcoreinfo_size = 4096;  // VMCOREINFO_NOTE_SIZE with 4 KiB pages
constexpr uint64_t page_tables_offset = 28 * mib1;
constexpr uint64_t most_cpus = vmcoreinfo_offset / note_pitch;

const Board arm64_board = {
    .architecture = &arm64_architecture,
    .qemu = "qemu-system-aarch64",
    .description = "QEMU virt (device tree, PSCI, GICv3, PL011)",
    .windows = {{arm_ram_start + bottom_margin, highest - arm_ram_start - bottom_margin - top_margin}},
    .console = "console=ttyAMA0",
    .add = {"earlycon", "ignore_loglevel"},
    .remove = {"acpi", "earlycon", "earlyprintk"},
};
const Board x86_64_board = {
    .architecture = &x86_64_architecture,
    .qemu = "qemu-system-x86_64",
    .description = "QEMU pc (SeaBIOS, ACPI, 16550)",
    .windows = {{bottom_margin, pc_low_end - bottom_margin - top_margin},
                {four_gib, highest - four_gib - top_margin}},
    .console = "console=ttyS0",
    // no_timer_check: on a busy host an emulated timer may miss the deadline of that check, which is a panic.
    .add = {"earlyprintk=serial,ttyS0,115200", "ignore_loglevel", "no_timer_check"},
    .remove = {"acpi_rsdp", "earlycon", "earlyprintk"},
};

bool inside_window(const Board& board, const Range& range) {
  return std::any_of(board.windows.begin(), board.windows.end(),
                     [&](const Range& window) { return window.contains(range); });
}

// The lowest place for `size` bytes from `from` on that touches none of `taken`.
std::optional<Range> find_place(const Board& board, uint64_t size, uint64_t from,
                                const std::vector<Range>& taken) {
  for (const Range& window : board.windows) {
    Range place{align_up(std::max(window.start, from), region_alignment), size};
    for (const Range& other : merge_ranges(taken)) {
      if (place.overlaps(other)) place.start = align_up(other.end(), region_alignment);
    }
    if (place.start >= window.start && in_bounds(window.end(), place.start, size)) return place;
  }
  return std::nullopt;
}

void place_regions(const Board& board, const LoadPlan& plan, VirtualMachine& vm) {
  for (const Range& region : plan.crash_regions) {
    if (inside_window(board, region)) vm.crash_regions.push_back(region);
  }
  for (const Range& region : plan.crash_regions) {
    if (inside_window(board, region)) continue;
    vm.moved = true;
    // On the same side of 4 GiB, which decides about zones and bounce buffers; the upper one where that
    // fails.
    std::optional<Range> place =
        find_place(board, region.size, region.start < four_gib ? 0 : four_gib, vm.crash_regions);
    if (!place) {
      throw Error(Errc::unsupported,
                  fmt::format("the virtual machine has no place for a crash region of {}", mib(region.size)));
    }
    vm.crash_regions.push_back(*place);
  }
  std::sort(vm.crash_regions.begin(), vm.crash_regions.end());
}

// As many as the crash kernel will start.
unsigned count_cpus(std::string_view command_line) {
  constexpr uint64_t most = 8;
  std::optional<std::string> value = find_option(command_line, "nr_cpus");
  if (!value) value = find_option(command_line, "maxcpus");
  uint64_t wanted = value ? parse_number(*value, 10).value_or(1) : most / 2;
  return static_cast<unsigned>(std::clamp<uint64_t>(wanted, 1, most));
}

// The least that runs such a kernel: 16 KiB pages and more than 48 bits of virtual address need newer CPUs
// than a Cortex-A57. (The architected pointer authentication is slow to emulate; kernels cannot tell QEMU's
// own.)
std::string choose_cpu(const Machine& machine, const LoadPlan& plan, Acceleration acceleration) {
  if (acceleration == Acceleration::kvm) return "host";
  if (plan.architecture == &x86_64_architecture) return "max";
  constexpr uint64_t t1sz_48_bits = 16;
  uint64_t t1sz = t1sz_48_bits;
  if (machine.kcore) {
    t1sz = Vmcoreinfo::parse(machine.kcore->vmcoreinfo).number("TCR_EL1_T1SZ").value_or(t1sz_48_bits);
  }
  constexpr uint64_t pages_16k = 16 << 10;
  return plan.image.page_size == pages_16k || t1sz < t1sz_48_bits ? "max,pauth-impdef=on" : "cortex-a57";
}

void place_notes(const Machine& machine, VirtualMachine& vm) {
  uint64_t at = vm.crashed.start;
  for (const CpuNote& note : machine.cpu_notes) {
    if (vm.cpu_notes.size() == most_cpus) break;
    vm.cpu_notes.push_back({note.cpu, {at, std::min(note.memory.size, note_pitch)}});
    at += note_pitch;
  }
  vm.vmcoreinfo_note = {vm.crashed.start + vmcoreinfo_offset, vmcoreinfo_size};
  vm.page_tables = {vm.crashed.start + page_tables_offset, bottom_size - page_tables_offset};
}

uint64_t choose_memory(const Board& board, const VirtualMachine& vm) {
  uint64_t top = std::max(vm.crash_regions.back().end(), vm.crashed.end()) + top_margin;
  top = align_up(top, mib1);
  if (board.architecture == &arm64_architecture) return top - arm_ram_start;
  if (vm.crash_regions.back().end() <= pc_low_end) return top;
  // QEMU puts the border at 3 GiB when there is 3.5 GiB or more.
  return std::max(top - four_gib, gib1) + pc_low_end;
}

void add_entry(MemoryMap& map, const Range& range, std::string_view name) {
  map.entries.push_back({range, 0, std::string(name)});
}

// What a kernel on this board would show; the RAM is no more than the plan is about.
MemoryMap make_memory_map(const VirtualMachine& vm) {
  MemoryMap map;
  std::vector<Range> ram = vm.crash_regions;
  ram.push_back(vm.crashed);
  if (vm.board->architecture == &x86_64_architecture) {
    constexpr Range low = {0, 0x9fc00};
    constexpr uint64_t firmware_size = 128 << 10;
    ram.push_back(low);
    add_entry(map, {low.end(), mib1 - low.end()}, "Reserved");
    uint64_t low_end = vm.memory > pc_low_end ? pc_low_end : vm.memory;
    add_entry(map, {low_end - firmware_size, firmware_size}, "Reserved");
    add_entry(map, {0xfeffc000, 0x4000}, "Reserved");
    add_entry(map, {0xfffc0000, 0x40000}, "Reserved");
  }
  for (const Range& range : merge_ranges(ram)) add_entry(map, range, "System RAM");
  for (const Range& region : vm.crash_regions) map.entries.push_back({region, 1, "Crash kernel"});
  return map;
}

bool names(std::string_view word, std::string_view option) {
  return word == option || (word.starts_with(option) && word[option.size()] == '=');
}

void put_note(std::vector<uint8_t>& bytes, uint64_t at, uint32_t type, std::string_view name, Bytes desc) {
  constexpr uint64_t header = 12;
  constexpr uint64_t word = 4;
  store(bytes, at, ul32(static_cast<uint32_t>(name.size() + 1)));
  store(bytes, at + word, ul32(static_cast<uint32_t>(desc.size())));
  store(bytes, at + 2 * word, ul32(type));
  std::copy(name.begin(), name.end(), bytes.begin() + static_cast<ptrdiff_t>(at + header));
  uint64_t desc_at = at + header + align_up(name.size() + 1, word);
  std::copy(desc.begin(), desc.end(), bytes.begin() + static_cast<ptrdiff_t>(desc_at));
}

}  // namespace

std::string_view to_string(Acceleration acceleration) {
  return acceleration == Acceleration::kvm ? "kvm" : "tcg";
}

const Board& find_board(const Architecture& architecture) {
  for (const Board* board : {&arm64_board, &x86_64_board}) {
    if (board->architecture == &architecture) return *board;
  }
  throw Error(Errc::unsupported, fmt::format("no virtual machine is known for {}", architecture.name));
}

VirtualMachine make_virtual_machine(const Machine& machine, const LoadPlan& plan, Acceleration acceleration) {
  VirtualMachine vm;
  vm.board = &find_board(*plan.architecture);
  place_regions(*vm.board, plan, vm);
  // Segments may take half of what is not reserved; it costs nothing, since nobody writes to it.
  uint64_t crashed_size = align_up(2 * total_size(vm.crash_regions) + bottom_size, region_alignment);
  std::optional<Range> crashed = find_place(*vm.board, crashed_size, 0, vm.crash_regions);
  if (!crashed) throw Error(Errc::unsupported, "the crash regions fill the virtual machine");
  vm.crashed = *crashed;
  if (vm.board->architecture == &x86_64_architecture && crashed->start >= four_gib)
    throw Error(Errc::unsupported, "the virtual machine has no room below 4 GiB beside the crash regions");
  place_notes(machine, vm);
  vm.memory = choose_memory(*vm.board, vm);
  vm.cpus = count_cpus(plan.command_line.text);
  vm.cpu = choose_cpu(machine, plan, acceleration);
  vm.acceleration = acceleration;
  return vm;
}

Machine describe(const VirtualMachine& vm, std::vector<uint8_t> device_tree) {
  Machine machine;
  machine.architecture = vm.board->architecture;
  machine.memory = make_memory_map(vm);
  machine.cpu_notes = vm.cpu_notes;
  machine.vmcoreinfo_note = vm.vmcoreinfo_note;
  machine.kcore_problem = "there is no crashed kernel in the virtual machine";
  machine.device_tree = std::move(device_tree);
  machine.device_tree_source = "QEMU's device tree";
  machine.crash_size = vm.crash_regions.back().size;
  constexpr uint64_t least_page = 4096;
  machine.page_size =
      least_page;  // of the kernel that would load: there is none, so nothing more is asked of it
  return machine;
}

TestCommandLine make_test_command_line(const Board& board, std::string_view line) {
  TestCommandLine result;
  for (const std::string& word : split_command_line(line)) {
    bool out = std::any_of(board.remove.begin(), board.remove.end(),
                           [&](std::string_view option) { return names(word, option); });
    if (out) {
      result.changes.push_back(fmt::format("{} is left out: it is about the real machine", word));
      continue;
    }
    if (!result.text.empty()) result.text += ' ';
    result.text += word;
  }
  std::vector<std::string_view> added = board.add;
  added.push_back(board.console);  // the last console= is init's
  for (std::string_view word : added) result.text += fmt::format(" {}", word);
  result.changes.push_back(fmt::format("{} is added: to see what happens", fmt::join(added, " ")));
  return result;
}

std::vector<uint8_t> make_crashed_memory(const VirtualMachine& vm, std::string_view vmcoreinfo) {
  // As include/linux/elfcore.h has struct elf_prstatus: 336 bytes on x86-64, 392 on arm64.
  constexpr uint64_t prstatus_size = 336, prstatus_size_arm64 = 392;
  constexpr uint32_t nt_prstatus = 1;
  constexpr uint64_t cpu_overhead = 32;  // header, "CORE", the empty header that ends it
  constexpr uint64_t vmcoreinfo_overhead = 64;
  bool arm64 = vm.board->architecture == &arm64_architecture;
  std::vector<uint8_t> registers(arm64 ? prstatus_size_arm64 : prstatus_size);
  std::vector<uint8_t> bytes(vm.vmcoreinfo_note.end() - vm.crashed.start);
  for (const CpuNote& note : vm.cpu_notes) {
    if (note.memory.size < registers.size() + cpu_overhead) continue;
    put_note(bytes, note.memory.start - vm.crashed.start, nt_prstatus, "CORE", registers);
  }
  vmcoreinfo = vmcoreinfo.substr(0, vm.vmcoreinfo_note.size - vmcoreinfo_overhead);
  put_note(bytes, vm.vmcoreinfo_note.start - vm.crashed.start, 0, "VMCOREINFO", as_bytes(vmcoreinfo));
  return bytes;
}

std::vector<std::string> board_arguments(const VirtualMachine& vm) {
  bool arm64 = vm.board->architecture == &arm64_architecture;
  bool kvm = vm.acceleration == Acceleration::kvm;
  std::string machine = arm64 ? fmt::format("virt,gic-version={}", kvm ? "host" : "3") : "pc";
  // With a thread for each CPU, emulated x86-64 kernels now and then trip over code they are patching.
  std::string accel = kvm ? "kvm" : arm64 ? "tcg" : "tcg,thread=single";
  return {"-machine", machine + ",memory-backend=ram",
          // Not reserved: most of it is never touched.
          "-object", fmt::format("memory-backend-ram,id=ram,size={}M,reserve=off", vm.memory / mib1), "-m",
          fmt::format("{}M", vm.memory / mib1), "-accel", accel, "-cpu", vm.cpu, "-smp",
          fmt::format("{}", vm.cpus), "-nodefaults", "-no-user-config", "-nic", "none", "-display", "none",
          "-monitor", "none", "-no-reboot"};
}

}  // namespace kdk
