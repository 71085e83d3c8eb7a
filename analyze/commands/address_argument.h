// The ADDRESS of commands.
#pragma once

#include <cstdint>
#include <string>

#include "analyze/session.h"

namespace kdk {

// A number, symbol+offset, or an expression as of `print`; a physical one is only a number. Modules' symbols
// are looked at when the kernel's do not do. Throws what says why it is none.
uint64_t require_address(Session& session, const std::string& text, bool physical = false);

}  // namespace kdk
