// The first code of an x86-64 crash kernel loaded by kexec_load.
//
// The kernel enters it in 64-bit mode with interrupts off, paging on and memory mapped at its physical
// address (arch/x86/kernel/machine_kexec_64.c, init_pgtable; relocate_kernel_64.S). The kernel's 64-bit entry
// wants the boot parameters in rsi, selectors 0x10 and 0x18 for code and data, and a stack is polite
// (Documentation/arch/x86/boot.rst, "64-bit Boot Protocol"). The mode of paging, 4 or 5 levels, is left as it
// is: whether the kernel can be entered with it is checked before.
#pragma once

#include <cstdint>
#include <vector>

namespace kdk::x86_64 {

constexpr uint64_t trampoline_size = 4096;  // with its stack

// Code for physical address `at`, entered at its first byte.
std::vector<uint8_t> make_trampoline(uint64_t at, uint64_t boot_params, uint64_t kernel_entry);

// What finished bytes will do.
struct TrampolineTargets {
  uint64_t boot_params = 0;
  uint64_t kernel_entry = 0;
};
TrampolineTargets read_trampoline(const std::vector<uint8_t>& bytes);

}  // namespace kdk::x86_64
