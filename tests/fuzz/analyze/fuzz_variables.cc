// Debug information as input: the arguments and variables of each of its functions, over the memory of a
// small machine whose stack holds numbers and pointers into itself.
#include <fmt/format.h>
#include <sys/mman.h>

#include "analyze/unwind/variables.h"
#include "analyze/unwind/vmlinux_aids.h"
#include "core/base/file.h"
#include "tests/support/dump_builder.h"

namespace {

struct Machine {
  Machine() : builder({.x86_64 = kdk::test::X86_64Options{}}) {
    stack = builder.alloc(4096);
    for (uint64_t i = 0; i < 512; ++i)
      builder.put_u64(stack + i * 8, i % 3 == 0 ? i : stack.value + (i * 56) % 4096);
    dump = builder.open();
    kernel = std::make_unique<kdk::Kernel>(*dump);
  }
  kdk::test::DumpBuilder builder;
  kdk::VirtAddr stack;
  std::unique_ptr<kdk::Dump> dump;
  std::unique_ptr<kdk::Kernel> kernel;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace kdk;
  static Machine machine;
  if (size > 1 << 18) return 0;
  // Readers of debug information take a path.
  Fd file(memfd_create("vmlinux", MFD_CLOEXEC));
  write_all(file, {data, size}, "vmlinux");
  try {
    const std::unique_ptr<DebugInfo> info = DebugInfo::open(fmt::format("/proc/self/fd/{}", file.get()));
    std::vector<uint64_t> addresses;
    info->file().for_each_symbol([&](const VmlinuxFile::Symbol& symbol) {
      addresses.push_back(symbol.address + symbol.size / 2);
      return addresses.size() < 8;
    });
    const SourceLookup sources{.vmlinux = info.get()};
    const VmlinuxAids aids(info.get());
    Backtrace trace;
    for (uint64_t address : addresses) {
      Frame frame;
      frame.pc = address;
      frame.image_offset = 1;
      frame.registers.emplace();
      for (size_t i = 0; i < Registers::max_count; ++i)
        frame.registers->set(i, machine.stack.value + 1024 + i * 8);
      frame.registers->set(machine.kernel->memory().arch().roles().pc, address);
      trace.frames.push_back(std::move(frame));
    }
    for (const FunctionVariables& function : read_variables(*machine.kernel, sources, *aids.aids().cfi, trace,
                                                            std::nullopt, [](uint64_t) { return ""; })) {
      for (const Variable& item : function.items) {
        if (item.name.find('\x1b') != std::string::npos) __builtin_trap();  // escaped where it enters
      }
    }
  } catch (const Error&) {
  }
  return 0;
}
