// x86-64 address translation; see x86_64_translate.cc.
#pragma once

#include <memory>

#include "core/arch/arch.h"

namespace kdk {

// What Arch::make_translator promises, for x86-64.
std::unique_ptr<Translator> make_x86_64_translator(const Vmcoreinfo& info, uint32_t page_size,
                                                   PhysReader& memory);

}  // namespace kdk
