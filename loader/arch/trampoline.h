// The first code the crash kernel's CPU runs.
//
// kexec_load(2) on arm64 enters the image with x0 = 0: the device tree's address, which the boot protocol
// wants in x0, is known to the kernel only with kexec_file_load (arch/arm64/kernel/machine_kexec.c,
// kimage->arch.dtb_mem). So user space brings forty bytes of its own that set the registers and jump. Source:
// Documentation/arch/arm64/booting.rst, "Call the kernel image": x0 = physical address of the dtb, x1-x3 = 0,
// MMU off. It needs no stack, no memory writes and no fixed address.
#pragma once

#include <cstdint>
#include <vector>

namespace kdk {

constexpr uint64_t trampoline_size = 40;

// Position-independent arm64 code entered at its first byte. Both arguments are physical addresses.
std::vector<uint8_t> make_trampoline(uint64_t dtb, uint64_t kernel_entry);

}  // namespace kdk
