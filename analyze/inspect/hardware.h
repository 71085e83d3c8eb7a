// What the machine is and how busy it was: firmware's names for it, CPU, load.
// Source: drivers/firmware/dmi_scan.c, arch/x86/include/asm/processor.h, arch/arm64/include/asm/cpu.h,
// kernel/sched/loadavg.c.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "core/kernel/kernel.h"
#include "core/kernel/system.h"

namespace kdk {

struct HardwareFacts {
  // As firmware says, escaped; without serial numbers and UUIDs. Empty: not known.
  std::string vendor, product, version, board, bios;
  std::string cpu;                            // "Intel(R) ...", "implementer 0x41 part 0xd07"
  std::optional<std::array<double, 3>> load;  // of 1, 5 and 15 minutes
};

// Never throws.
HardwareFacts read_hardware(Kernel& kernel);

// The answer of `sys`.
struct SystemFacts {
  SystemInfo identity;
  HardwareFacts hardware;
  std::string panic_message;  // escaped; empty: unknown
  uint64_t ram_bytes = 0;
};

}  // namespace kdk
