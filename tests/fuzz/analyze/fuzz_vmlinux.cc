// A vmlinux as input: ELF headers, symbol table, notes, and the DWARF around the addresses of its own
// symbols.
#include <fmt/format.h>
#include <sys/mman.h>

#include "analyze/symbols/dwarf.h"
#include "analyze/symbols/vmlinux.h"
#include "core/base/file.h"

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
    if (std::unique_ptr<DwarfReader> dwarf = DwarfReader::open(vmlinux)) {
      for (uint64_t address : addresses) dwarf->source(address);
    }
  } catch (const Error&) {
  }
  return 0;
}
