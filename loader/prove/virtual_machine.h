// The machine that `kdump-load test` boots a crash kernel on: how much memory it has, where the crash regions
// and the "crashed" kernel's notes lie, what QEMU is told. Pure: the same inputs give the same machine.
//
// The crash regions keep their sizes, and their addresses where the board has RAM there. So the very code
// that plans for the real machine plans for the virtual one, and the crash kernel has as much memory.
//
// Sources: QEMU's hw/arm/virt.c (RAM from 1 GiB on) and hw/i386/pc_piix.c (RAM from 0, a hole below 4 GiB);
// SeaBIOS, src/fw/paravirt.c and src/malloc.c (what it takes at the top of low RAM).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "loader/plan/plan.h"

namespace kdk {

// What differs between the boards.
struct Board {
  const Architecture* architecture;
  std::string_view qemu;  // "qemu-system-aarch64"
  std::string_view description;
  std::vector<Range> windows;         // where a crash region may lie
  std::string_view console;           // the option that makes its serial port the console
  std::vector<std::string_view> add;  // what else a kernel needs there
  // Options that name devices of the real machine, or another firmware's ways.
  std::vector<std::string_view> remove;
};
// Throws Error{unsupported} for an architecture that cannot be tried.
const Board& find_board(const Architecture& architecture);

enum class Acceleration { tcg, kvm };
std::string_view to_string(Acceleration acceleration);

struct VirtualMachine {
  const Board* board = nullptr;
  std::vector<Range> crash_regions;  // ascending, as many as the real ones
  bool moved = false;                // a region is not where the real machine has it
  Range crashed;                     // the "crashed" kernel's memory: empty but for its notes
  std::vector<CpuNote> cpu_notes;    // inside `crashed`
  Range vmcoreinfo_note;             // inside `crashed`
  Range page_tables;                 // inside `crashed`; x86-64: what a CPU is entered with
  uint64_t memory = 0;               // bytes; a multiple of 1 MiB
  unsigned cpus = 1;
  std::string cpu;  // QEMU's -cpu
  Acceleration acceleration = Acceleration::tcg;
};

// For a crash kernel that was planned on `machine`. Throws Error{unsupported} when the board cannot have such
// crash regions.
VirtualMachine make_virtual_machine(const Machine& machine, const LoadPlan& plan, Acceleration acceleration);

// The virtual machine as make_plan sees one. `device_tree` is QEMU's; empty on boards without one.
Machine describe(const VirtualMachine& vm, std::vector<uint8_t> device_tree);

// The crash kernel's command line in the virtual machine, and every difference, as sentences.
struct TestCommandLine {
  std::string text;
  std::vector<std::string> changes;
};
TestCommandLine make_test_command_line(const Board& board, std::string_view line);

// The notes at the beginning of `crashed`: of every CPU one without register values, and `vmcoreinfo`, cut at
// the size of vmcoreinfo_note.
std::vector<uint8_t> make_crashed_memory(const VirtualMachine& vm, std::string_view vmcoreinfo);

// What is put into its memory before it starts.
struct PlacedFile {
  std::string path;
  uint64_t address = 0;
};
// The part of QEMU's arguments that both asking for the device tree and running need.
std::vector<std::string> board_arguments(const VirtualMachine& vm);

}  // namespace kdk
