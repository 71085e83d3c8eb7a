// arm64 address translation; see arm64_translate.cc. Separate from arm64.cc (registers) because both are long
// enough.
#pragma once

#include <memory>

#include "core/arch/arch.h"

namespace kdk {

// Removes top-byte tag and PAC: bit 55 tells the kernel half from the user half.
// Source: arch/arm64/include/asm/memory.h __untagged_addr, asm/pointer_auth.h.
uint64_t arm64_strip(uint64_t address, uint64_t pac_mask);

// What Arch::make_translator promises, for arm64.
std::unique_ptr<Translator> make_arm64_translator(const Vmcoreinfo& info, uint32_t page_size,
                                                  PhysReader& memory);

}  // namespace kdk
