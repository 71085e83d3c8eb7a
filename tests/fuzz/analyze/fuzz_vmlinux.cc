// A vmlinux as input: ELF headers, symbol table, notes, the DWARF around the addresses of its own symbols,
// and their call frame information over the memory of a small machine.
#include <fmt/format.h>
#include <sys/mman.h>

#include "analyze/symbols/aranges.h"
#include "analyze/symbols/dwarf.h"
#include "analyze/symbols/vmlinux.h"
#include "analyze/unwind/cfi.h"
#include "core/base/file.h"
#include "core/kernel/memory.h"
#include "tests/support/dump_builder.h"

namespace {

// Machines for the call frame information of both architectures.
struct Machine {
  explicit Machine(kdk::test::MachineOptions options) : builder(std::move(options)) {
    stack = builder.alloc(4096);
    for (uint64_t i = 0; i < 512; ++i) builder.put_u64(stack + i * 8, stack.value + 0x100 + i);
    dump = builder.open();
    memory = std::make_unique<kdk::KernelMemory>(*dump);
  }
  kdk::test::DumpBuilder builder;
  kdk::VirtAddr stack;
  std::unique_ptr<kdk::Dump> dump;
  std::unique_ptr<kdk::KernelMemory> memory;
};

void follow_frames(const kdk::VmlinuxFile& vmlinux, const std::vector<uint64_t>& addresses) {
  static Machine x86_64({.x86_64 = kdk::test::X86_64Options{}}), arm64({});
  for (Machine* machine : {&x86_64, &arm64}) {
    kdk::DwarfCallFrames frames(vmlinux, 0);
    kdk::Registers registers;
    for (size_t i = 0; i < kdk::Registers::max_count; ++i) registers.set(i, machine->stack.value + i * 8);
    for (uint64_t address : addresses) {
      registers.set(machine->memory->arch().roles().pc, address);
      frames.caller(*machine->memory, registers, false);
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace kdk;
  if (size > 1 << 20) return 0;
  // Readers of debug information take a path.
  Fd file(memfd_create("vmlinux", MFD_CLOEXEC));
  write_all(file, {data, size}, "vmlinux");
  try {
    VmlinuxFile vmlinux(fmt::format("/proc/self/fd/{}", file.get()));
    std::vector<uint64_t> addresses;
    vmlinux.for_each_symbol([&](const VmlinuxFile::Symbol& symbol) {
      if (symbol.name.empty()) __builtin_trap();
      if (addresses.size() < 16) addresses.push_back(symbol.address + symbol.size / 2);
      return true;
    });
    vmlinux.find_symbol("linux_banner");
    vmlinux.section(".BTF");
    vmlinux.bytes_at(0x1000, 64);
    if (vmlinux.relocatable()) {
      std::vector<uint64_t> places(vmlinux.parts().size());
      for (size_t i = 0; i < places.size(); ++i) places[i] = i << 16;
      vmlinux.relocate(places);
    }
    if (std::unique_ptr<DwarfReader> dwarf = DwarfReader::open(vmlinux)) {
      for (uint64_t address : addresses) dwarf->source(address);
      // Where no symbol leads: every unit that has a range.
      const std::vector<UnitRange> ranges = read_aranges(vmlinux.section(".debug_aranges"));
      for (size_t i = 0; i < std::min<size_t>(ranges.size(), 16); ++i) dwarf->source(ranges[i].begin);
    }
    follow_frames(vmlinux, addresses);
  } catch (const Error&) {
  }
  return 0;
}
